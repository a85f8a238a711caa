-- Takes a bot's listener away, unless a newer one has come.
-- KEYS: bots
-- ARGV: bot, node, fence
local listener = redis.call('HGET', KEYS[1], ARGV[1])
if listener then
    local fence, _, node = string.match(listener, '^(%d+) (%d+) (.+)$')
    if fence == ARGV[3] and node == ARGV[2] then
        redis.call('HDEL', KEYS[1], ARGV[1])
    end
end
return 1
