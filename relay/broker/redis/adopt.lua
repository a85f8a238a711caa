-- Moves streams of a node that is gone to another one; returns them.
-- KEYS: nodes, what the node that is gone owned, what the other one owns
-- ARGV: the node that is gone, most streams to move
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = redis.call('HGET', KEYS[1], ARGV[1])
if expires and tonumber(expires) > now then
    return {}
end
local taken = redis.call('SPOP', KEYS[2], ARGV[2])
for _, stream in ipairs(taken) do
    redis.call('SADD', KEYS[3], stream)
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HDEL', KEYS[1], ARGV[1])
end
return taken
