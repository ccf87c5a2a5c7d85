// supabase-js, unmodified: why a channel is not joined, and connections that break; with examples/realtime-resume nothing is missed.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RealtimeClient } from '@supabase/realtime-js'
import pg from 'pg'
import { resume } from '../../../examples/realtime-resume/resume.mjs'
import { client } from './auth.js'
import { Line, announcements, broadcasts, changes, closeAll, closedLater, listener, quick, refusal, startRealtime, subscribed, until } from './realtime.js'

let running, server

before(async () => {
  running = await startRealtime({ 'realtime.max_channels': 3 })
  server = running.server
  await query(`create table readings (id int primary key);
    alter table readings enable row level security;
    create policy everybody on readings for select using (true);
    alter publication supabase_realtime add table readings`)
})

after(async () => {
  closeAll()
  await running?.stop()
})

/** Runs SQL on a connection of its own, as a restarted server takes its database along. */
async function query(text, values) {
  const connection = new pg.Client({ connectionString: server.keys.database_url })
  connection.on('error', () => {})
  try {
    await connection.connect()
    return await connection.query(text, values)
  } finally {
    await connection.end().catch(() => {})
  }
}

/** Writes rows as an application does that tries again, across a restart too; -> when the last one is written. */
async function write(ids) {
  for (const id of ids) {
    const written = () => query('insert into readings values ($1) on conflict do nothing', [id]).catch(() => false)
    await until(written, `writing ${id}`, 120_000, 100)
  }
}

const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n)
const ids = ({ all }) => all.map(([, row]) => row.id)

/** The client in supabase-js, and a newer one. */
const CLIENTS = {
  'supabase-js': (options) => listener(server, options),
  'realtime-js': (options) => closedLater({
    realtime: new RealtimeClient(`${server.url}/realtime/v1`, { params: { apikey: server.keys.anon_key }, ...options.realtime }),
  }),
}

/** A channel that goes on where it was: { heard, said, line, cursors, joins } */
async function following(name, make = CLIENTS['supabase-js']) {
  const line = new Line()
  const made = make(quick(line))
  const cursors = resume(made)
  const channel = made.realtime.channel(name)
  const [heard, said] = [changes(channel, { table: 'readings' }), announcements(channel)]
  let joined = 0
  channel.subscribe((status) => { joined += status === 'SUBSCRIBED' })
  const joins = () => joined
  await until(() => joins() && cursors.size)
  return { heard, said, line, cursors, joins }
}

test('a key that is none opens no socket', async () => {
  const made = closedLater(client({ url: server.url, keys: { anon_key: 'nonsense' } }, quick()))
  const [status, message] = await refusal(made.channel('room'))
  assert.equal(status, 'CHANNEL_ERROR')
  assert.match(message, /transport failure|401/)
})

test('a channel that cannot be joined says why', async () => {
  const made = listener(server)
  assert.deepEqual(await refusal(made.channel('')), ['CHANNEL_ERROR', 'TopicNameRequired: You must provide a topic name'])
  for (const name of ['a', 'b', 'c']) await subscribed(made.channel(name))
  assert.deepEqual(await refusal(made.channel('d')), ['CHANNEL_ERROR', 'ChannelRateLimitReached: Too many channels'])
})

test('a client comes back after a restart of the server, to its channels and who is there', async () => {
  const [speaks, hears] = [listener(server).channel('room'), listener(server).channel('room')]
  const [heard, statuses] = [broadcasts(hears), []]
  hears.on('presence', { event: 'sync' }, () => {}).subscribe((status, error) => {
    statuses.push(error ? `${status}: ${error.message}` : status)
    if (status === 'SUBSCRIBED') hears.track({ here: true })
  })
  let joins = 0
  speaks.on('presence', { event: 'sync' }, () => {}).subscribe((status) => { joins += status === 'SUBSCRIBED' })
  const isThere = () => joins && Object.keys(speaks.presenceState()).length === 1
  await until(isThere)

  await server.restart()
  await until(() => joins === 2 && statuses.filter((status) => status === 'SUBSCRIBED').length === 2)
  assert.deepEqual(statuses.slice(0, 2), ['SUBSCRIBED', 'CHANNEL_ERROR: socket closed: 1001 (the server stops)'])
  await until(isThere)
  await speaks.send({ type: 'broadcast', event: 'back', payload: {} })
  await heard.exactly(1)
})

for (const [number, [name, make]] of Object.entries(CLIENTS).entries()) {
  test(`every row arrives once and in order by ${name}, while the connection breaks and the server restarts`, async () => {
    const rows = range(1000 * (number + 1), 1000 * (number + 1) + 300)
    const { heard, line, joins } = await following('everything', make)
    const cut = () => line.cut()
    const interrupt = async () => {
      for (const [count, broken] of [[20, cut], [60, cut], [100, cut], [140, server.restart], [200, cut]]) {
        await until(() => heard.all.length >= count, `${count} rows`)
        const former = joins()
        await broken()
        await until(() => joins() > former, 'coming back')
      }
    }
    await Promise.all([write(rows), interrupt()])
    await until(() => ids(heard).includes(rows.at(-1)), 'the last row')
    assert.deepEqual(ids(heard), rows)
  })
}

test('a channel that has heard nothing yet goes on from when it was SUBSCRIBED', async () => {
  const { heard, line, joins } = await following('nothing yet')
  line.cut()
  await write([3000])
  await until(() => joins() === 2)
  await write([3001])
  await until(() => ids(heard).includes(3001))
  assert.deepEqual(ids(heard), [3000, 3001])
})

test('a program that starts anew goes on from the cursor that it kept', async () => {
  const { heard, cursors } = await following('kept')
  await write([4000])
  await heard.exactly(1)
  closeAll()
  await write([4001, 4002])
  const channel = listener(server).channel('kept')
  const later = changes(channel, { table: 'readings', since: cursors.get('realtime:kept') })
  await subscribed(channel)
  await later.exactly(2)
  assert.deepEqual(ids(later), [4001, 4002])
})

test('who was away for longer than changes are kept is told to read anew, and goes on from there', async () => {
  const { heard, said, line, cursors, joins } = await following('long gone')
  const channel = listener(server).channel('past')
  const witness = broadcasts(channel)
  await subscribed(channel)
  await write([5000])
  await heard.exactly(1)
  line.isDown = true
  line.cut()
  await query(`delete from realtime.changes;
    update realtime.retention set horizon = pg_current_xact_id(), removed = pg_current_snapshot()`)
  // When the feed comes to that it tells everybody who is there. A message that arrives was read after it.
  await until(async () => {
    await query(`select realtime.send('{}', 'witness', 'past', false)`)
    return witness.all.length
  })
  line.isDown = false
  const told = await said.one(({ message }) => message === 'resync')
  assert.equal(told.reason, 'retention')
  assert.equal(told.cursor, cursors.get('realtime:long gone'))

  // Being told once is enough: nothing is lost from here on.
  line.cut()
  await write([5001])
  await until(() => joins() === 3)
  await write([5002])
  await until(() => ids(heard).includes(5002))
  assert.deepEqual(ids(heard), [5000, 5001, 5002])
  assert.equal(said.all.filter(({ message }) => message === 'resync').length, 1)
})
