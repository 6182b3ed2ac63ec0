-- GCRA for the keys of one request, narrowest first. ARGV has two numbers for each: after how long there is one more, and how full it
-- may be and take one more. All times are in microseconds, and by this server's clock, so that those of the gateways need not agree.
--
-- Answers {0, how full each is now}, or {the place of the key that is full, how long until it is not}. What stands before that one has
-- been counted, what stands behind it has not.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {0}
for place, key in ipairs(KEYS) do
    local interval = tonumber(ARGV[2 * place - 1])
    local tolerance = tonumber(ARGV[2 * place])
    local arrival = tonumber(redis.call('GET', key) or now)
    -- No more than full: limits may have been narrower when it was written, and a clock can be set back.
    arrival = math.min(math.max(arrival, now), now + tolerance + interval)
    if arrival - tolerance > now then
        return {place, arrival - tolerance - now}
    end
    arrival = arrival + interval
    redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
    answer[place + 1] = arrival - now
end
return answer
