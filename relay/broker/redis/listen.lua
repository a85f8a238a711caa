-- Makes a node the listener of a bot; returns its fence and the node that listened before, if any.
-- KEYS: bots, fences
-- ARGV: bot, node, time to live (ms)
-- `bots` holds "<fence> <expires, ms since 1970> <node>" for each bot, by the server's clock.
-- A fence outlives every absence of its bot, or a connection could seem older than its forerunner.
local fence = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
local before = redis.call('HGET', KEYS[1], ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local listener = string.format('%d %.0f %s', fence, now + ARGV[3], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], listener)
return { fence, before and string.match(before, '^%d+ %d+ (.+)$') }
