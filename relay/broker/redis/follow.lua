-- Makes a node one of those that read a stream: from now on every append rings its bell.
-- Returns the stream's epoch and the last offset that rang no bell.
-- KEYS: meta, log, the node's bell
-- ARGV: node, time to live of the bell (ms)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'readers')
if not meta[1] then
    return { 'unknown' }
end
local readers = meta[2] or ''
if not string.find(' ' .. readers .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
    readers = readers == '' and ARGV[1] or readers .. ' ' .. ARGV[1]
    redis.call('HSET', KEYS[1], 'readers', readers)
end
if redis.call('EXISTS', KEYS[3]) == 0 then
    redis.call('XADD', KEYS[3], '*', 'begun', 1)
end
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return { 'ok', meta[1], redis.call('XLEN', KEYS[2]) }
