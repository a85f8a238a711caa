-- Reads a log from an offset on.
-- KEYS: meta, log
-- ARGV: id of the first entry, number of entries
if redis.call('EXISTS', KEYS[1]) == 0 then
    return { 'unknown' }
end
return { 'ok', redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2]) }
