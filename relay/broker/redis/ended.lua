-- Returns 1 where a log has its end or is gone.
-- KEYS: meta, log
if redis.call('EXISTS', KEYS[1]) == 0 then
    return 1
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last then
    for at = 1, #last[2], 2 do
        if last[2][at] == 'kind' and last[2][at + 1] == 'end' then
            return 1
        end
    end
end
return 0
