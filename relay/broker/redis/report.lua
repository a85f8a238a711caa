-- Keeps what the readers of a stream on one node were handed; returns the owner's node.
-- KEYS: meta, reports
-- ARGV: node, the report, time to live (ms)
local owner = redis.call('HGET', KEYS[1], 'node')
if not owner then
    return false
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return owner
