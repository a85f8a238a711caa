-- Reads a log from an offset on.
-- KEYS: meta, log
-- ARGV: id of the first entry, number of entries, the epoch that it must have or nothing
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or (ARGV[3] ~= '' and ARGV[3] ~= epoch) then
    return { 'unknown' }
end
return { 'ok', redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2]) }
