"""What the server does in one step each: scripts for Redis 6 and Valkey 7 or later, in their Lua.

Four keys hold a list, all in one slot of a cluster:

    data    hash      "#epoch", "#birth", "#serial"; an entry: "ends" or "ends bound"; a record: its five values
    ends    sorted    the field of each entry and record by its end, for purging
    order   sorted    the field of each entry by the serial of its last change, for the feed
    log     stream    the last serials: who waits is woken, and a cursor shows that this history is the one it knew, by
                      the second part of an id, which is random: a serial may come twice where one was lost

Everything that decides is in one hash, so that it is lost together or not at all. ``ends`` and ``order`` have a member
of their own, "": one that is gone is noticed, and counts as all being lost.
Numbers come and go as texts that are exact. ``decide`` in rotation.py and entries.py say what is done here.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    """``digest``: the server's name for it. ``writes``: whether what it did is worth waiting for replicas."""

    text: str
    digest: str
    writes: bool


_COMMON = """
local DATA, ENDS, ORDER, LOG = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, number = redis.call, tonumber

local function text(value) return string.format('%.17g', value) end

-- Later than every serial before, also of a history that was lost with a failover: the server's clock, or one more.
-- "#serial" is the id of the last item of the log: the serial, then a part that is random and new for each call.
local function next_serial()
  local clock, last = call('TIME'), number(string.match(call('HGET', DATA, '#serial') or '0', '^%d+'))
  local serial = string.format('%.0f', math.max(number(clock[1]) * 1000000 + number(clock[2]), last + 1))
  local high, low = number(string.sub(ARGV[1], 3, 8), 16), number(string.sub(ARGV[1], 9, 14), 16)
  local id = serial .. string.format('-%.0f', high * 16777216 + low)
  call('XADD', LOG, 'MAXLEN', '~', '10000', id, '', '')
  call('HSET', DATA, '#serial', id)
  return serial
end

local function server_time()
  local clock = call('TIME')
  return number(clock[1]) + number(clock[2]) / 1000000
end

-- The server's time of day, so that all hosts start families and revoke subjects by one clock. ``now``: the caller's,
-- which counts where it is far from that: then one of the two is not the time of day.
local function moment(now)
  local server = server_time()
  return math.abs(now - server) < 60 and server or now
end

-- Whether a clock so many seconds from the server's is none of a time of day, such as one that stands still, so that it
-- counts. That of a host is one, however wrong it is.
local function is_other(distance) return distance >= 86400 and not string.find(ARGV[3], 'host', 1, true) end

-- The epoch and its birth. ARGV: a new epoch, the clock, then 'wait' if replicas are to confirm, 'host' if the clock is
-- that of a host.
local function begin()
  local epoch = call('HGET', DATA, '#epoch')
  local by_end, by_serial = call('ZSCORE', ENDS, ''), call('ZSCORE', ORDER, '')
  if epoch and by_end and by_serial then
    if string.sub(epoch, 1, 2) ~= '1.' then error('a revocation list of another version') end
    -- An answer that changes nothing rests on earlier writes, which may be unconfirmed: WAIT needs one of its own.
    if string.find(ARGV[3], 'wait', 1, true) then call('HSET', DATA, '#wait', '1') end
    return epoch, number(call('HGET', DATA, '#birth'))
  end
  call('XLEN', LOG)  -- so that nothing is deleted where a key is not ours
  -- By the server's clock, as families start, unless the caller's is well ahead of it, or so far behind that it is no
  -- time of day. Always one more: what was lost, if it was, may have known a family of this very second.
  local now, server = number(ARGV[2]), number(call('TIME')[1])
  local birth = (now - server < 60 and not is_other(server - now) and server or math.floor(now)) + 1
  call('UNLINK', DATA, ENDS, ORDER, LOG)
  call('HSET', DATA, '#epoch', ARGV[1], '#birth', text(birth))
  call('ZADD', ENDS, '+inf', '')
  call('ZADD', ORDER, '0', '')
  next_serial()
  return ARGV[1], birth
end

-- Where the caller's clock is ahead, though not so far that it is no time of day, the server's counts: what one host
-- takes for ended is needed by the others still.
local function purge(now, limit)
  local server = server_time()
  if number(now) > server and not is_other(number(now) - server) then now = text(server) end
  local fields = call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', '0', limit)
  local dropped = 0
  for _, field in ipairs(fields) do
    if field ~= '' then
      call('HDEL', DATA, field)
      call('ZREM', ENDS, field)
      call('ZREM', ORDER, field)
      dropped = dropped + 1
    end
  end
  return dropped
end

-- Never sooner over than it was to be. bound: of a subject, else nil.
local function put(field, ends, bound)
  local known = call('HGET', DATA, field)
  if known then
    local known_ends = string.match(known, '^%S+')
    if number(known_ends) > number(ends) then ends = known_ends end
  end
  local value = bound and ends .. ' ' .. bound or ends
  if value ~= known then
    local serial = next_serial()  -- first, because nothing is undone where a key is not what it was
    call('HSET', DATA, field, value)
    call('ZADD', ENDS, ends, field)
    call('ZADD', ORDER, serial, field)
  end
end

local function live(field, now)
  local known = call('HGET', DATA, field)
  return known and number(string.match(known, '^%S+')) > now
end

local function bound_of(field, now)
  return live(field, now) and number(string.match(call('HGET', DATA, field), '%S+$')) or nil
end
"""

_PUT = """
-- now, then of each entry: field, end, bound or ''. A bound that is there and lives is never lowered.
local epoch = begin()
purge(ARGV[4], '16')
for place = 5, #ARGV, 3 do
  local field, ends, bound = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  if bound == '' then
    put(field, ends)
  else
    local known = bound_of(field, number(ARGV[4]))
    put(field, ends, known and text(math.max(known, number(bound))) or bound)
  end
end
return {epoch}
"""

_SUBJECT = """
-- now, field, end, moment, '1' if that is the default, most seconds ahead that a family starts by any clock
local epoch, birth = begin()
purge(ARGV[4], '16')
local before = number(ARGV[7])
-- A caller that is far behind must not spare what others have started since its time.
if ARGV[8] == '1' then before = math.max(moment(before), server_time()) end
local known = bound_of(ARGV[5], number(ARGV[4]))
local bound = before == math.floor(before) and before + 1 or before
local latest = known and math.max(birth, math.ceil(known)) or birth
local out_of_reach = known and known ~= math.floor(known) and known > math.max(before, birth) + number(ARGV[9])
if ARGV[8] == '1' and latest >= bound and not out_of_reach then bound = latest + 0.5 end
if known then bound = math.max(bound, known) end
put(ARGV[5], ARGV[6], text(bound))
return {epoch}
"""

_START = """
-- now, field, end of the entry or '' if the family need not be alone, most seconds ahead
local epoch, birth = begin()
local now, alone = moment(number(ARGV[4])), ARGV[6] ~= ''
local known = bound_of(ARGV[5], now)
local start = math.max(math.floor(now), birth)
if known then
  -- By the server's clock as well, by which it may have been revoked.
  if known > math.max(now, server_time(), birth) + number(ARGV[7]) then return {epoch} end
  start = math.max(start, alone and math.floor(known) + 1 or math.ceil(known))
end
if alone then
  purge(ARGV[4], '16')
  put(ARGV[5], ARGV[6], text(start))
end
return {epoch, text(start)}
"""

_ADVANCE = """
-- now, grace, presented, started, '1' for the same client, the successor's iat and exp, keep until,
-- the fields of session, subject and record
local epoch, birth = begin()
purge(ARGV[4], '16')
local now, grace, presented, started = number(ARGV[4]), number(ARGV[5]), number(ARGV[6]), number(ARGV[7])
local same_client, ends, session, subject = ARGV[8] == '1', ARGV[11], ARGV[12], ARGV[13]
local bound = bound_of(subject, now)
if live(session, now) or (bound and started < bound) then return {epoch, 'revoked'} end
local record = call('HGET', DATA, ARGV[14])
local sequence, issued_at, expires_at, advanced_at, kept
if record then
  sequence, issued_at, expires_at, advanced_at, kept = string.match(record, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  if number(kept) >= number(ends) then ends = kept end
end
local current = number(sequence or '0')

local function keep(...)
  call('HSET', DATA, ARGV[14], table.concat({...}, ' '))
  call('ZADD', ENDS, ends, ARGV[14])
end

if started < birth or presented > current or (presented == current and not same_client) then
  return {epoch, 'unknown'}
end
if presented == current then
  local successor = string.format('%.0f', current + 1)
  keep(successor, ARGV[9], ARGV[10], ARGV[4], ends)
  return {epoch, 'advanced', successor, ARGV[9], ARGV[10]}
end
if record and presented == current - 1 and same_client and math.abs(now - number(advanced_at)) < grace then
  if ends ~= kept then keep(sequence, issued_at, expires_at, advanced_at, ends) end
  return {epoch, 'again', sequence, issued_at, expires_at}
end
put(session, ends)
return {epoch, 'reuse'}
"""

_CURRENT = """
-- the field of the record
local epoch, birth = begin()
return {epoch, text(birth), call('HGET', DATA, ARGV[4])}
"""

_PURGE = """
-- now, limit
local epoch = begin()
return {epoch, purge(ARGV[4], ARGV[5])}
"""

_CHANGES = """
-- the epoch that is known or '', the serial up to which entries were read, the last id that was seen, limit
local epoch = begin()
local last = call('HGET', DATA, '#serial')
if ARGV[4] ~= '' then
  local seen = ARGV[6]
  if ARGV[4] ~= epoch or (seen ~= last and #call('XRANGE', LOG, seen, seen) == 0) then return {epoch} end
end
local found = call('ZRANGEBYSCORE', ORDER, '(' .. ARGV[5], '+inf', 'WITHSCORES', 'LIMIT', '0', ARGV[7])
local entries, position = {}, ARGV[5]
for place = 1, #found, 2 do
  entries[place], entries[place + 1] = found[place], call('HGET', DATA, found[place])
  position = string.format('%.0f', number(found[place + 1]))
end
return {epoch, position, last, entries}
"""


def _script(body: str, *, writes: bool) -> Script:
    text = _COMMON + body
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), writes)


PUT, SUBJECT, START, ADVANCE = (_script(body, writes=True) for body in (_PUT, _SUBJECT, _START, _ADVANCE))
CURRENT, PURGE, CHANGES = (_script(body, writes=False) for body in (_CURRENT, _PURGE, _CHANGES))
