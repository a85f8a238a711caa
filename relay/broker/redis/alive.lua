-- Says that a node is alive for a while. Returns 1 where nobody knew of it, else 0.
-- KEYS: nodes
-- ARGV: node, time to live (ms); with 0 it is gone at once
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[2]))
