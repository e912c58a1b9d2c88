-- The procedures of the scheduler. Each call runs one of them, wholly or not at all.
--
-- KEYS[1] is the prefix of all keys. On a Cluster it has a hash tag, so that all keys of one scheduler are in one slot.
-- NAMES is a table in a line before this file: the names that the owner of the scheduler chose for kinds of keys.
-- ARGV[1] is the name of the procedure, and the rest are its arguments, which it reads one after the other. The document
-- `docs/redis.md` describes the keys.
--
-- Times are milliseconds. `now` is the wall clock of the server. `steady` advances with it but never goes back: delays and
-- leases are measured by it, so that they do not last longer when the wall clock is set back.

local prefix = KEYS[1]

local function key(kind, name)
    local chosen = NAMES[kind]
    if name then return prefix .. (chosen or kind .. ':') .. name end
    return prefix .. (chosen or kind)
end

-- The key of a list or part of a subject. The length makes it unambiguous, unless the owner chose the names.
local function part_key(subject, name)
    if NAMES.record then return key('record', subject) .. ':' .. name end
    return key('part', #subject .. ':' .. subject .. ':' .. name)
end

local function text(number) return string.format('%.0f', number) end

-- The version of the form of the keys. A program changes no keys of a newer version than its own. It is greater by one after a
-- change with which an older program would do harm.
local SCHEMA = 1
local kept = redis.call('HMGET', key('clock'), 'wall', 'ahead', 'schema')
local schema = tonumber(kept[3] or nil)
if schema and schema > SCHEMA then return { 'newer', text(schema), text(SCHEMA) } end
-- Asked by a process that connects. Nothing is written yet: the prefix may be a mistake.
if ARGV[1] == 'hello' then return { 'hello', schema and text(schema) or '' } end

local function read_clock()
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    local last, ahead = tonumber(kept[1] or nil), tonumber(kept[2] or nil) or 0
    if not schema or not last or now < last or now > last + 1000 then
        if last and now < last then ahead = ahead + last - now end
        redis.call('HSET', key('clock'), 'wall', text(now), 'ahead', text(ahead), 'schema', text(SCHEMA))
    end
    return now, ahead
end

local now, ahead = read_clock()
local steady = now + ahead

-- A task in a hash: place, clock of its due time, due time, fence, generation, attempt, cause. Places: q(ueue, due when it was
-- put), w(aits for an instant), d(elayed), p(arked), l(eased). Clocks: w(all), s(teady).
local function unpacked(packed)
    if not packed then return nil end
    local place, clock, due, fence, generation, attempt, cause =
        string.match(packed, '^([qwdpl]) ([ws]) (%-?%d+) (%d+) (%d+) (%d+) (.*)$')
    if not place then return nil end
    return {
        place = place, clock = clock, due = due, fence = fence, generation = generation,
        attempt = tonumber(attempt), cause = cause,
    }
end

local function packed(task)
    return table.concat({
        task.place, task.clock, task.due, task.fence, task.generation, text(task.attempt), task.cause,
    }, ' ')
end

local function task_of(queue, subject) return unpacked(redis.call('HGET', key('tasks', queue), subject)) end

-- The instant at which a task is due, by the wall clock.
local function wall_due(task)
    local due = tonumber(task.due)
    if task.clock == 's' then return due - ahead end
    return due
end

local rules_of = {}
local function rules(queue)
    if not rules_of[queue] then
        local found = redis.call('HMGET', key('rules', queue), 'capacity', 'park_after')
        rules_of[queue] = { capacity = tonumber(found[1] or nil), park_after = tonumber(found[2] or nil) }
    end
    return rules_of[queue]
end

local function parks(queue, attempt)
    local limit = rules(queue).park_after
    return limit and attempt >= limit
end

-- Wakes one process that waits for this queue.
local function wake(queue)
    local waiters = key('waiters', queue)
    redis.call('ZREMRANGEBYSCORE', waiters, '-inf', text(now))
    -- The one that began to wait last: of those that began long ago, some may have ended.
    local last = redis.call('ZRANGE', waiters, -1, -1)[1]
    if not last then return end
    redis.call('ZREM', waiters, last)
    local list = key('wake', last)
    if redis.call('RPUSH', list, queue) > 1000 then redis.call('LTRIM', list, -1000, -1) end
    redis.call('PEXPIRE', list, 60000)
end

-- Adds to a counter of a queue, and notes since when the queue counts.
local function count_in(queue, counter, by)
    if redis.call('HINCRBY', key('counters', queue), counter, by) == by then
        redis.call('HSETNX', key('counters', queue), 'since', text(now))
    end
end

local ORDERS = { w = 'waiting', d = 'delayed', p = 'parked', l = 'leases' }

-- Adds a task to its queue; `score` is the end of a lease, or the time of parking.
local function enqueue(queue, subject, task, score)
    -- Only what is due from this moment on is in the right order at the end of the list.
    if task.place == 'q' and tonumber(task.due) < steady then task.place = 'd' end
    redis.call('HSET', key('tasks', queue), subject, packed(task))
    if task.place == 'p' then count_in(queue, 'parked', 1) end
    if task.place == 'q' then
        redis.call('RPUSH', key('queue', queue), subject)
    else
        redis.call('ZADD', key(ORDERS[task.place], queue), score or task.due, subject)
    end
end

-- Removes a task from its place, but not from the hash.
local function leave(queue, subject, task)
    if task.place == 'q' then
        redis.call('LREM', key('queue', queue), 1, subject)
    else
        redis.call('ZREM', key(ORDERS[task.place], queue), subject)
    end
end

local function state_of(subject) return redis.call('HGET', key('record', subject), 'state') end

local function rest(state, by)
    if redis.call('HINCRBY', key('resting'), state, by) <= 0 then redis.call('HDEL', key('resting'), state) end
end

-- A subject has a task in one more queue.
local function gained(queue, subject)
    if redis.call('SADD', key('queues_of', subject), queue) == 0 then return end
    if redis.call('SCARD', key('queues_of', subject)) == 1 then
        local state = state_of(subject)
        if state then rest(state, -1) end
    end
end

-- A subject has no task in this queue any more.
local function lost(queue, subject)
    if redis.call('SREM', key('queues_of', subject), queue) == 0 then return end
    if redis.call('SCARD', key('queues_of', subject)) == 0 then
        local state = state_of(subject)
        if state then rest(state, 1) end
    end
end

-- Ends the lease of a task that is done; true if another task with its key follows.
local function finish(queue, subject)
    redis.call('ZREM', key('leases', queue), subject)
    local follower = unpacked(redis.call('HGET', key('followers', queue), subject))
    if follower then
        redis.call('HDEL', key('followers', queue), subject)
        enqueue(queue, subject, follower, follower.place == 'p' and text(now))
        wake(queue)
        return true
    end
    redis.call('HDEL', key('tasks', queue), subject)
    lost(queue, subject)
    return false
end

-- Ends the leases that have lapsed: at most 1,000, the rest at the next call. A lost task is due after a pause: a second, twice
-- as long after every attempt, at most an hour.
local function reclaim(queue)
    local lapsed = redis.call('ZRANGEBYSCORE', key('leases', queue), '-inf', text(steady), 'WITHSCORES', 'LIMIT', 0, 1000)
    for i = 1, #lapsed, 2 do
        local subject, deadline = lapsed[i], tonumber(lapsed[i + 1])
        local task = task_of(queue, subject)
        if not task then
            redis.call('ZREM', key('leases', queue), subject)
        elseif redis.call('HEXISTS', key('followers', queue), subject) == 1 then
            finish(queue, subject)
        else
            leave(queue, subject, task)
            local pause = task.attempt < 12 and 1000 * 2 ^ task.attempt or 3600000
            task.clock, task.due, task.cause, task.fence = 's', text(deadline + pause), 'lease_lost', '0'
            task.attempt = math.min(task.attempt + 1, 4294967295)
            task.place = parks(queue, task.attempt) and 'p' or 'd'
            enqueue(queue, subject, task, task.place == 'p' and text(now))
        end
    end
    if #lapsed > 0 then count_in(queue, 'lost', #lapsed / 2) end
    return #lapsed > 0
end

-- The first task of each order of a queue that is not leased or parked: subject and due time by the wall clock. A name without a
-- readable task is removed from the order.
local function first_in_list(queue)
    while true do
        local subject = redis.call('LINDEX', key('queue', queue), 0)
        if not subject then return nil end
        local task = task_of(queue, subject)
        if task and task.place == 'q' then return { subject = subject, due = wall_due(task), task = task } end
        redis.call('LPOP', key('queue', queue))
    end
end

local function first_in_order(queue, place, offset)
    while true do
        local found = redis.call('ZRANGE', key(ORDERS[place], queue), 0, 0, 'WITHSCORES')
        if not found[1] then return nil end
        local task = task_of(queue, found[1])
        if task and task.place == place then
            return { subject = found[1], due = tonumber(found[2]) - offset, task = task }
        end
        redis.call('ZREM', key(ORDERS[place], queue), found[1])
    end
end

local function first(queue)
    local best = first_in_list(queue)
    for place, offset in pairs({ w = 0, d = ahead }) do
        local other = first_in_order(queue, place, offset)
        if other and (not best or other.due < best.due) then best = other end
    end
    return best
end

local function put(queue, subject, kind, due, generation, attempt, cause)
    redis.call('SADD', key('queues'), queue)
    local task = { fence = '0', generation = generation, attempt = tonumber(attempt), cause = cause }
    if parks(queue, task.attempt) then
        task.place, task.clock, task.due = 'p', 's', text(steady)
    elseif kind == 'now' then
        task.place, task.clock, task.due = 'q', 's', text(steady)
    elseif kind == 'after' then
        task.place, task.clock, task.due = 'd', 's', text(steady + tonumber(due))
    else
        task.place, task.clock, task.due = 'w', 'w', due
    end
    local old = task_of(queue, subject)
    if old and old.place == 'l' then
        redis.call('HSET', key('followers', queue), subject, packed(task))
        return
    end
    if old then leave(queue, subject, old) end
    enqueue(queue, subject, task, task.place == 'p' and text(now))
    if not old then gained(queue, subject) end
    if task.place == 'q' then
        wake(queue)
    elseif task.place ~= 'p' and redis.call('ZRANGE', key(ORDERS[task.place], queue), 0, 0)[1] == subject then
        wake(queue)
    end
end

-- True if the task was there.
local function cancel(queue, subject)
    redis.call('HDEL', key('followers', queue), subject)
    local packed_task = redis.call('HGET', key('tasks', queue), subject)
    if not packed_task then return false end
    local task = unpacked(packed_task)
    if task then leave(queue, subject, task) end
    redis.call('HDEL', key('tasks', queue), subject)
    lost(queue, subject)
    return true
end

-- Makes a task due; true if it was not leased. A task that is due already keeps its turn.
local function hasten(queue, subject)
    local follower = unpacked(redis.call('HGET', key('followers', queue), subject))
    if follower then
        follower.attempt = 0
        if follower.place == 'p' or wall_due(follower) > now then
            follower.place, follower.clock, follower.due = 'q', 's', text(steady)
        end
        redis.call('HSET', key('followers', queue), subject, packed(follower))
        return true
    end
    local task = task_of(queue, subject)
    if not task or task.place == 'l' then return false end
    task.attempt = 0
    if task.place == 'p' or wall_due(task) > now then
        leave(queue, subject, task)
        task.place, task.clock, task.due = 'q', 's', text(steady)
        enqueue(queue, subject, task)
    else
        redis.call('HSET', key('tasks', queue), subject, packed(task))
    end
    wake(queue)
    return true
end

local function add_active(subject)
    if NAMES.active then redis.call('RPUSH', key('active'), subject) else redis.call('SADD', key('active'), subject) end
end

local function remove_active(subject)
    if NAMES.active then redis.call('LREM', key('active'), 1, subject) else redis.call('SREM', key('active'), subject) end
end

-- The groups of a subject: a field of its record.
local function groups_of(subject)
    local packed_groups = redis.call('HGET', key('record', subject), 'groups')
    local is_sound, groups = pcall(cjson.decode, packed_groups or '[]')
    return is_sound and type(groups) == 'table' and groups or {}
end

local function is_member(subject, group)
    for _, known in ipairs(groups_of(subject)) do
        if known == group then return true end
    end
    return false
end

local function join_groups(subject, joined)
    local groups = groups_of(subject)
    for _, one in ipairs(joined) do
        if not is_member(subject, one.group) then
            redis.call('HINCRBY', key('groups'), one.group, 1)
            groups[#groups + 1] = one.group
            redis.call('HSET', key('record', subject), 'groups', cjson.encode(groups))
        end
    end
end

local function leave_groups(subject)
    for _, group in ipairs(groups_of(subject)) do
        if redis.call('HINCRBY', key('groups'), group, -1) <= 0 then redis.call('HDEL', key('groups'), group) end
    end
    redis.call('HDEL', key('record', subject), 'groups')
end

local function forget(subject)
    local state = state_of(subject)
    if not state then return end
    leave_groups(subject)
    if redis.call('EXISTS', key('queues_of', subject)) == 0 then rest(state, -1) end
    for _, name in ipairs(redis.call('SMEMBERS', key('parts', subject))) do
        redis.call('DEL', part_key(subject, name))
    end
    redis.call('DEL', key('record', subject), key('parts', subject))
    remove_active(subject)
end

local function set_list(subject, name, values)
    local list = part_key(subject, name)
    redis.call('DEL', list)
    redis.call('SREM', key('parts', subject), name)
    if #values > 0 then redis.call('SADD', key('parts', subject), name) end
    for _, value in ipairs(values) do redis.call('RPUSH', list, value) end
end

local function set_part(subject, name, fields)
    local part = part_key(subject, name)
    if #fields > 0 and redis.call('TYPE', part).ok == 'list' then redis.call('DEL', part) end
    if #fields > 0 then redis.call('SADD', key('parts', subject), name) end
    for i = 1, #fields, 2 do redis.call('HSET', part, fields[i], fields[i + 1]) end
end

local function record(one)
    local subject, state = one.subject, one.state
    local before = state_of(subject)
    if one.settles then
        remove_active(subject)
        leave_groups(subject)
    elseif not before then
        add_active(subject)
    end
    if redis.call('EXISTS', key('queues_of', subject)) == 0 then
        if before then rest(before, -1) end
        rest(state, 1)
    end
    redis.call('HSET', key('record', subject), 'state', state)
    for i = 1, #one.fields, 2 do redis.call('HSET', key('record', subject), one.fields[i], one.fields[i + 1]) end
    for name, values in pairs(one.lists) do set_list(subject, name, values) end
    for name, fields in pairs(one.parts) do set_part(subject, name, fields) end
    join_groups(subject, one.groups)
end

-- Whether the lease with this fence lasts.
local function is_leased(queue, subject, fence)
    local task = task_of(queue, subject)
    if not task or task.place ~= 'l' or task.fence ~= fence then return false end
    local deadline = redis.call('ZSCORE', key('leases', queue), subject)
    return deadline and tonumber(deadline) > steady
end

local position = 1
local function next_argument()
    position = position + 1
    return ARGV[position]
end

-- The arguments that are left.
local function further_arguments()
    local rest = {}
    for value in next_argument do rest[#rest + 1] = value end
    return rest
end

local function append(list, values)
    for _, value in ipairs(values) do list[#list + 1] = value end
    return list
end

local procedures = {}

-- max, duration of the lease, process, how long it may wait, queues...
function procedures.take()
    local max, lease = tonumber(next_argument()), tonumber(next_argument())
    local process, patience = next_argument(), tonumber(next_argument())
    local heads, seen = {}, {}
    for _, queue in ipairs(further_arguments()) do
        if not seen[queue] then
            seen[queue] = true
            reclaim(queue)
            heads[queue] = first(queue)
        end
    end
    local taken, count, counts = { 'taken' }, 0, {}
    while count < max do
        local best
        for queue, head in pairs(heads) do
            if head.due <= now and (not best or head.due < heads[best].due) then best = queue end
        end
        if not best then break end
        local subject, task = heads[best].subject, heads[best].task
        leave(best, subject, task)
        task.place, task.fence = 'l', text(redis.call('INCR', key('fences')))
        enqueue(best, subject, task, text(steady + lease))
        append(taken, {
            best, subject, task.fence, text(heads[best].due), task.generation, text(task.attempt), task.cause,
        })
        count = count + 1
        counts[best] = (counts[best] or 0) + 1
        heads[best] = first(best)
    end
    for queue, by in pairs(counts) do count_in(queue, 'taken', by) end
    if count > 0 then
        -- More is due: another process may take it.
        for queue, head in pairs(heads) do
            if head.due <= now then wake(queue) end
        end
        return taken
    end
    local wait = patience
    for queue in pairs(seen) do
        redis.call('ZADD', key('waiters', queue), text(now + 2 * patience), process)
        if heads[queue] then wait = math.min(wait, heads[queue].due - now) end
        local ends = redis.call('ZRANGE', key('leases', queue), 0, 0, 'WITHSCORES')[2]
        if ends then wait = math.min(wait, tonumber(ends) - steady) end
    end
    return { 'none', text(math.max(wait, 0)) }
end

-- Of each lease: queue, subject, fence. Gives back tasks that no worker received: they are due as before.
function procedures.give_back()
    for queue in next_argument do
        local subject, fence = next_argument(), next_argument()
        if is_leased(queue, subject, fence) then
            count_in(queue, 'taken', -1)
            if redis.call('HEXISTS', key('followers', queue), subject) == 1 then
                finish(queue, subject)
            else
                local task = task_of(queue, subject)
                leave(queue, subject, task)
                task.place, task.fence = task.clock == 's' and 'd' or 'w', '0'
                enqueue(queue, subject, task)
                wake(queue)
            end
        end
    end
    return { 'done' }
end

-- queue, subject, fence, duration
function procedures.extend()
    local queue, subject, fence, by = next_argument(), next_argument(), next_argument(), next_argument()
    if not is_leased(queue, subject, fence) then return { 'fenced' } end
    local deadline = math.max(tonumber(redis.call('ZSCORE', key('leases', queue), subject)), steady + tonumber(by))
    redis.call('ZADD', key('leases', queue), text(deadline), subject)
    return { 'done' }
end

-- The lengths in front make the pair unambiguous.
local function pair(queue, subject) return #queue .. ':' .. queue .. subject end

-- '0', or '1' with queue, subject and fence of the lease to release;
-- the number of records, and of each: subject, expectation ('any', 'none' or 'state'), expected state, '1' if it has a state
-- or '0', state, '1' if it settles the subject or '0', number of fields, name and value of each, number of lists, of each its
-- name, number of values and values, number of parts, of each its name, number of fields and fields, number of groups that the
-- subject joins, of each its name and the most members;
-- the number of puts, and of each: queue, subject, 'now', 'after' or 'at', milliseconds, generation, attempt, cause.
function procedures.commit()
    local next = next_argument
    local release
    if next() == '1' then release = { queue = next(), subject = next(), fence = next() } end
    local records, puts, last = {}, {}, {}
    local function several(width)
        local values = {}
        for i = 1, width * tonumber(next()) do values[i] = next() end
        return values
    end
    local function named(width)
        local all = {}
        for _ = 1, tonumber(next()) do
            local name = next()
            all[name] = several(width)
        end
        return all
    end
    for i = 1, tonumber(next()) do
        local one = {
            subject = next(), expect = next(), expected = next(), has_state = next() == '1', state = next(),
        }
        one.settles = next() == '1'
        one.fields, one.lists, one.parts, one.groups = several(2), named(1), named(2), {}
        for j = 1, tonumber(next()) do one.groups[j] = { group = next(), at_most = tonumber(next()) } end
        records[i] = one
    end
    for i = 1, tonumber(next()) do
        local one = { next(), next(), next(), next(), next(), next(), next() }
        puts[i] = one
        last[pair(one[1], one[2])] = i
    end

    if release and not is_leased(release.queue, release.subject, release.fence) then return { 'fenced' } end
    for i, one in ipairs(records) do
        local found = state_of(one.subject)
        local is_met = one.expect == 'any' or one.expect == 'none' and not found
            or one.expect == 'state' and found == one.expected
        if not is_met then
            if found then return { 'unexpected', text(i - 1), found } end
            return { 'unexpected', text(i - 1) }
        end
    end
    local joining, seen = {}, {}
    for _, one in ipairs(records) do
        for _, joined in ipairs(one.groups) do
            local group, name = joined.group, pair(joined.group, one.subject)
            if not seen[name] and not is_member(one.subject, group) then
                seen[name] = true
                joining[group] = (joining[group] or 0) + 1
                local members = tonumber(redis.call('HGET', key('groups'), group) or nil) or 0
                if members + joining[group] > joined.at_most then return { 'crowded', group, text(joined.at_most) } end
            end
        end
    end
    -- A step that makes no queue longer is taken even if the queue is too long already.
    local growth = {}
    for i, one in ipairs(puts) do
        local queue, subject = one[1], one[2]
        if last[pair(queue, subject)] == i and rules(queue).capacity
            and redis.call('HEXISTS', key('tasks', queue), subject) == 0 then
            growth[queue] = (growth[queue] or 0) + 1
        end
    end
    for queue, by in pairs(growth) do
        if release and release.queue == queue and not last[pair(queue, release.subject)]
            and redis.call('HEXISTS', key('followers', queue), release.subject) == 0 then
            by = by - 1
        end
        local capacity = rules(queue).capacity
        if by > 0 and redis.call('HLEN', key('tasks', queue)) + by > capacity then
            return { 'full', queue, text(capacity) }
        end
    end

    if release then
        local again, before = last[pair(release.queue, release.subject)], task_of(release.queue, release.subject)
        count_in(release.queue, 'committed', 1)
        if again and tonumber(puts[again][6]) > before.attempt then count_in(release.queue, 'failed', 1) end
    end
    -- A record that settles the subject of the lease cancels its task.
    for _, one in ipairs(records) do
        if one.settles then
            for _, queue in ipairs(redis.call('SMEMBERS', key('queues_of', one.subject))) do cancel(queue, one.subject) end
        end
        if one.has_state then record(one) else forget(one.subject) end
    end
    local overtaken = release and finish(release.queue, release.subject) and pair(release.queue, release.subject)
    for i, one in ipairs(puts) do
        local name = pair(one[1], one[2])
        if last[name] == i and name ~= overtaken then put(unpack(one)) end
    end
    return { 'done' }
end

-- subject. The number of fields, name and value of each; of each list and part: 'list' or 'hash', name, number of values, values.
function procedures.recorded()
    local subject = next_argument()
    local fields = redis.call('HGETALL', key('record', subject))
    local all = append({ 'record', text(#fields / 2) }, fields)
    for _, name in ipairs(redis.call('SMEMBERS', key('parts', subject))) do
        local part = part_key(subject, name)
        local kind = redis.call('TYPE', part).ok
        local values = {}
        if kind == 'list' then values = redis.call('LRANGE', part, 0, -1) end
        if kind == 'hash' then values = redis.call('HGETALL', part) end
        if #values > 0 then append(append(all, { kind, name, text(#values) }), values) end
    end
    return all
end

-- 'task' with queue and subject, 'subject' with subject, or 'queue' with queue
function procedures.cancel()
    local which, one, other, count = next_argument(), next_argument(), next_argument(), 0
    if which == 'task' then
        if cancel(one, other) then count = 1 end
    elseif which == 'subject' then
        for _, queue in ipairs(redis.call('SMEMBERS', key('queues_of', one))) do
            if cancel(queue, one) then count = count + 1 end
        end
        forget(one)
    else
        local subjects = redis.call('HKEYS', key('tasks', one))
        for _, subject in ipairs(subjects) do lost(one, subject) end
        count = #subjects
        for _, kind in ipairs({ 'tasks', 'followers', 'queue', 'waiting', 'delayed', 'parked', 'leases', 'rules', 'counters' }) do
            redis.call('DEL', key(kind, one))
        end
        redis.call('SREM', key('queues'), one)
    end
    return { 'count', text(count) }
end

-- As `cancel`.
function procedures.hasten()
    local which, one, other, count = next_argument(), next_argument(), next_argument(), 0
    local function hasten_one(queue, subject)
        if hasten(queue, subject) then count = count + 1 end
    end
    if which == 'task' then
        hasten_one(one, other)
    elseif which == 'subject' then
        for _, queue in ipairs(redis.call('SMEMBERS', key('queues_of', one))) do hasten_one(queue, one) end
    else
        local all, found = redis.call('HGETALL', key('tasks', one)), {}
        for i = 1, #all, 2 do
            local task = unpacked(all[i + 1])
            if task then found[#found + 1] = { subject = all[i], due = wall_due(task) } end
        end
        table.sort(found, function(a, b) return a.due < b.due end)
        for _, each in ipairs(found) do hasten_one(one, each.subject) end
    end
    return { 'count', text(count) }
end

-- queue, subjects... Makes parked tasks due. After the number of tasks: the subjects that have no parked task.
function procedures.retry()
    local queue, count, not_parked = next_argument(), 0, {}
    for subject in next_argument do
        local task = task_of(queue, subject)
        if task and task.place == 'p' and hasten(queue, subject) then
            count = count + 1
        else
            not_parked[#not_parked + 1] = subject
        end
    end
    return append({ 'retried', text(count) }, not_parked)
end

-- queue, capacity or '', number of attempts after which a task is parked or ''
function procedures.configure()
    local queue, capacity, park_after = next_argument(), next_argument(), next_argument()
    redis.call('SADD', key('queues'), queue)
    redis.call('DEL', key('rules', queue))
    if capacity ~= '' then redis.call('HSET', key('rules', queue), 'capacity', capacity) end
    if park_after ~= '' then redis.call('HSET', key('rules', queue), 'park_after', park_after) end
    return { 'done' }
end

-- How many tasks of a queue wait, how many are due, and when the next one is due.
local function waiting_and_due(queue)
    local waiting, due, next_due = 0, redis.call('LLEN', key('queue', queue)), nil
    for kind, clock in pairs({ waiting = now, delayed = steady }) do
        local over = redis.call('ZCOUNT', key(kind, queue), '-inf', text(clock))
        waiting = waiting + redis.call('ZCARD', key(kind, queue)) - over
        due = due + over
        local later = redis.call(
            'ZRANGEBYSCORE', key(kind, queue), '(' .. text(clock), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        local instant = later[2] and tonumber(later[2]) - clock + now
        if instant and (not next_due or instant < next_due) then next_due = instant end
    end
    return text(waiting), text(due), next_due and text(next_due) or ''
end

local function size(order, queue) return text(redis.call('ZCARD', key(order, queue))) end

-- Of each queue: name, waiting, due, leased, parked, when the next one is due or ''.
function procedures.queues()
    local all = { 'queues' }
    for _, queue in ipairs(redis.call('SMEMBERS', key('queues'))) do
        while reclaim(queue) do wake(queue) end
        local waiting, due, next_due = waiting_and_due(queue)
        append(all, { queue, waiting, due, size('leases', queue), size('parked', queue), next_due })
    end
    return all
end

-- The first tasks of an order, after their number: of each the subject and its values.
local function listed(order, queue, max, values)
    local found, all, count = redis.call('ZRANGE', key(order, queue), 0, max - 1, 'WITHSCORES'), {}, 0
    for i = 1, #found, 2 do
        local task = task_of(queue, found[i])
        if task then
            count = count + 1
            append(append(all, { found[i] }), values(task, tonumber(found[i + 1])))
        end
    end
    return append({ text(count) }, all)
end

local function lease_values(task, deadline) return { text(deadline - ahead), text(task.attempt) } end

local function parked_values(task, since) return { text(since), text(task.attempt), task.cause } end

-- How many leases and parked tasks to list of each queue. First the time, the version of the keys, the number of subjects on
-- record, the number of states, and of each its name and how many subjects rest in it. Then of each queue: name, due, since when
-- or '', waiting, until when or '', leased, lapsed, parked, since when it counts or '', the counters, the leases, the parked tasks.
function procedures.status()
    local max = tonumber(next_argument())
    local resting = redis.call('HGETALL', key('resting'))
    local all = { 'status', text(now), text(SCHEMA), text(redis.call('SCARD', key('active'))), text(#resting / 2) }
    append(all, resting)
    for _, queue in ipairs(redis.call('SMEMBERS', key('queues'))) do
        local waiting, due, next_due = waiting_and_due(queue)
        local head = first(queue)
        local oldest = head and head.due <= now and text(head.due) or ''
        local lapsed = text(redis.call('ZCOUNT', key('leases', queue), '-inf', text(steady)))
        append(all, { queue, due, oldest, waiting, next_due, size('leases', queue), lapsed, size('parked', queue) })
        local counters = redis.call(
            'HMGET', key('counters', queue), 'since', 'taken', 'committed', 'failed', 'lost', 'parked')
        append(all, { counters[1] or '' })
        for i = 2, 6 do append(all, { counters[i] or '0' }) end
        append(all, max > 0 and listed('leases', queue, max, lease_values) or { '0' })
        append(all, max > 0 and listed('parked', queue, max, parked_values) or { '0' })
    end
    return all
end

-- Of each state: its name, and how many subjects rest in it.
function procedures.resting()
    return append({ 'resting' }, redis.call('HGETALL', key('resting')))
end

-- queue. Of each parked task: subject, since when, attempt, cause.
function procedures.parked()
    local queue = next_argument()
    local found, all = redis.call('ZRANGE', key('parked', queue), 0, -1, 'WITHSCORES'), { 'parked' }
    for i = 1, #found, 2 do
        local task = task_of(queue, found[i])
        if task then append(all, { found[i], found[i + 1], text(task.attempt), task.cause }) end
    end
    return all
end

-- queue, 'mend' or 'look', subjects... Tasks that are in no order of their queue, though a hash has them: a key was deleted or
-- evicted. They are due at once. A follower whose lease is gone replaces its task. Names in an order that is not their task's are
-- removed.
function procedures.misplaced()
    local queue, mode = next_argument(), next_argument()
    local listed, all = {}, { 'subjects' }
    for _, subject in ipairs(redis.call('LRANGE', key('queue', queue), 0, -1)) do listed[subject] = true end
    for subject in next_argument do
        local task, follower = task_of(queue, subject), unpacked(redis.call('HGET', key('followers', queue), subject))
        local has_task = redis.call('HEXISTS', key('tasks', queue), subject) == 1
        local is_there = task and (task.place == 'q' and listed[subject]
            or task.place ~= 'q' and redis.call('ZSCORE', key(ORDERS[task.place], queue), subject))
        local is_followed = follower and not (is_there and task.place == 'l')
        if mode == 'mend' then
            local place = is_there and not is_followed and task.place
            for other, order in pairs(ORDERS) do
                if other ~= place then redis.call('ZREM', key(order, queue), subject) end
            end
            if listed[subject] and place ~= 'q' then redis.call('LREM', key('queue', queue), 0, subject) end
        end
        if is_followed or has_task and not is_there then
            all[#all + 1] = subject
            if mode == 'mend' then
                task = is_followed and follower or task or { generation = '0', attempt = 0, cause = 'lease_lost' }
                task.place, task.clock, task.due, task.fence = 'q', 's', text(steady), '0'
                redis.call('SADD', key('queues'), queue)
                redis.call('HDEL', key('followers', queue), subject)
                enqueue(queue, subject, task)
                gained(queue, subject)
                wake(queue)
            end
        elseif mode == 'mend' and not has_task then
            lost(queue, subject)
        end
    end
    return all
end

-- Counts the members of all groups anew, by the records of the active subjects.
function procedures.recount()
    redis.call('DEL', key('groups'))
    local active = NAMES.active and redis.call('LRANGE', key('active'), 0, -1) or redis.call('SMEMBERS', key('active'))
    for _, subject in ipairs(active) do
        for _, group in ipairs(groups_of(subject)) do redis.call('HINCRBY', key('groups'), group, 1) end
    end
    return { 'done' }
end

-- Subjects... Those on record that have no task: of each its name and state. Names of queues that have no task of the subject any
-- more are forgotten on the way.
function procedures.idle()
    local all = { 'idle' }
    for subject in next_argument do
        local state, is_busy = state_of(subject), false
        for _, queue in ipairs(redis.call('SMEMBERS', key('queues_of', subject))) do
            local has_task = redis.call('HEXISTS', key('tasks', queue), subject) == 1
                or redis.call('HEXISTS', key('followers', queue), subject) == 1
            if has_task then is_busy = true else lost(queue, subject) end
        end
        if state and not is_busy then append(all, { subject, state }) end
    end
    return all
end

-- subject, state, queue, cause. Puts a task for a subject that is in this state and has no task.
function procedures.restore()
    local subject, state, queue, cause = next_argument(), next_argument(), next_argument(), next_argument()
    if state_of(subject) ~= state or redis.call('EXISTS', key('queues_of', subject)) == 1 then return { 'count', '0' } end
    put(queue, subject, 'now', '0', '0', '0', cause)
    return { 'count', '1' }
end

return procedures[ARGV[1]]()
