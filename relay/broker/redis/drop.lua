-- Forgets a log. A blocked XREAD does not notice that its key is gone, so the log's readers,
-- on any node, are left a tombstone behind the last entry.
-- KEYS: meta, log, held, notes, reports
-- ARGV: time to live of the tombstone (ms)
if redis.call('EXISTS', KEYS[1]) == 0 then
    return { 'unknown' }
end
local last = redis.call('XLEN', KEYS[2])
redis.call('DEL', unpack(KEYS))
redis.call('XADD', KEYS[2], last .. '-1', 'dropped', '1')
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return { 'ok' }
