-- Returns bot, fence and node of everybody who listens, or of one bot; forgets the expired ones.
-- KEYS: bots
-- ARGV: the bot, or nothing for all of them
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local pairs_of = {}
if ARGV[1] then
    local listener = redis.call('HGET', KEYS[1], ARGV[1])
    if listener then
        pairs_of = { ARGV[1], listener }
    end
else
    pairs_of = redis.call('HGETALL', KEYS[1])
end
local found = {}
for at = 1, #pairs_of, 2 do
    local fence, expires, node = string.match(pairs_of[at + 1], '^(%d+) (%d+) (.+)$')
    if tonumber(expires) > now then
        found[#found + 1] = { pairs_of[at], fence, node }
    else
        redis.call('HDEL', KEYS[1], pairs_of[at])
    end
end
return found
