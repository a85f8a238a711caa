-- Says that a node still listens for these bots; returns those that a newer listener has taken.
-- KEYS: bots, fences
-- ARGV: node, time to live (ms), then bot and fence of each bot
-- What the server has lost is restored, so that a restart of it without its data heals.
local time = redis.call('TIME')
local expires = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local lost = {}
for at = 3, #ARGV, 2 do
    local bot, fence = ARGV[at], ARGV[at + 1]
    local newest = tonumber(redis.call('HGET', KEYS[2], bot) or 0)
    if newest > tonumber(fence) then
        lost[#lost + 1] = bot
    else
        if newest < tonumber(fence) then
            redis.call('HSET', KEYS[2], bot, fence)
        end
        redis.call('HSET', KEYS[1], bot, string.format('%s %.0f %s', fence, expires, ARGV[1]))
    end
end
return lost
