-- Puts a letter into the mailbox of the node that listens for a bot, if it still does.
-- KEYS: bots, mailbox
-- ARGV: bot, fence, node, most letters that may wait, time to live of the mailbox (ms),
--       then field and value of each field of the letter
local listener = redis.call('HGET', KEYS[1], ARGV[1])
local fence, expires, node = string.match(listener or '', '^(%d+) (%d+) (.+)$')
if fence ~= ARGV[2] or node ~= ARGV[3] then
    return { 'moved' }
end
local time = redis.call('TIME')
if tonumber(expires) <= time[1] * 1000 + math.floor(time[2] / 1000) then
    return { 'moved' }
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then
    return { 'full' }
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 6))
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return { 'ok' }
