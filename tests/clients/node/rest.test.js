// supabase-js, unmodified, against the real executable: what an application does with tables and functions.
// Every test restores what it changes; none depends on another.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import pg from 'pg'
import WebSocket from 'ws'
import { startServer } from './server.js'

let server, sql, anon, service
// Node 20 has no WebSocket of its own, and the client insists on one even where it is not used.
const quiet = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket } }

before(async () => {
  server = await startServer()
  sql = new pg.Client({ connectionString: server.keys.database_url })
  await sql.connect()
  await sql.query(readFileSync(new URL('./schema.sql', import.meta.url), 'utf8'))
  anon = createClient(server.url, server.keys.anon_key, quiet)
  service = createClient(server.url, server.keys.service_role_key, quiet)
  await served('notes')
})

after(async () => {
  await sql?.end()
  await server?.stop()
})

/** Waits until a table is served. */
async function served(table) {
  const deadline = Date.now() + 30_000
  for (;;) {
    const { error } = await service.from(table).select('*').limit(1)
    if (!error) return
    if (Date.now() > deadline) throw new Error(`${table} is not served: ${error.message}`)
    await new Promise((next) => setTimeout(next, 50))
  }
}

/** A client of a signed-in user. */
function user(id, claims = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + 3600
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role: 'authenticated', aud: 'authenticated', sub: id, exp, ...claims })}`
  const token = `${text}.${createHmac('sha256', server.keys.jwt_secret).update(text).digest('base64url')}`
  return createClient(server.url, server.keys.anon_key, { ...quiet, global: { headers: { Authorization: `Bearer ${token}` } } })
}

/** The data of an answer that must not be an error. */
function ok({ data, error }) {
  assert.equal(error, null, JSON.stringify(error))
  return data
}

test('rows are read with filters, order and limit', async () => {
  const rows = ok(await anon.from('books').select('title,pages').gt('pages', 190).order('pages', { ascending: false }).limit(2))
  assert.deepEqual(rows, [{ title: 'The Dispossessed', pages: 387 }, { title: 'The Cyberiad', pages: 295 }])
})

test('every kind of filter finds its rows', async () => {
  const ids = async (refine) => ok(await refine(anon.from('authors').select('id')).order('id')).map((row) => row.id)

  assert.deepEqual(await ids((q) => q.eq('name', 'Ursula')), [1])
  assert.deepEqual(await ids((q) => q.neq('name', 'Ursula')), [2, 3])
  assert.deepEqual(await ids((q) => q.in('id', [1, 3])), [1, 3])
  assert.deepEqual(await ids((q) => q.is('born', null)), [3])
  assert.deepEqual(await ids((q) => q.not('born', 'is', null)), [1, 2])
  assert.deepEqual(await ids((q) => q.like('name', '%sul%')), [1])
  assert.deepEqual(await ids((q) => q.ilike('name', 'NOB%')), [3])
  assert.deepEqual(await ids((q) => q.contains('tags', ['sf'])), [1, 2])
  assert.deepEqual(await ids((q) => q.containedBy('tags', ['sf'])), [2, 3])
  assert.deepEqual(await ids((q) => q.overlaps('tags', ['fantasy', 'none'])), [1])
  assert.deepEqual(await ids((q) => q.contains('profile', { home: { city: 'Kraków' } })), [2])
  assert.deepEqual(await ids((q) => q.eq('profile->home->>city', 'Portland')), [1])
  assert.deepEqual(await ids((q) => q.or('name.eq.Nobody,born.lt.1925-01-01')), [2, 3])
  assert.deepEqual(await ids((q) => q.gte('born', '1921-09-12').lte('born', '1929-10-21')), [1, 2])
  assert.deepEqual(await ids((q) => q.match({ id: 1, name: 'Ursula' })), [1])
  assert.deepEqual(await ids((q) => q.textSearch('name', 'ursula', { config: 'english' })), [1])
  assert.deepEqual(await ids((q) => q.filter('id', 'eq', 2)), [2])
})

test('names with commas, quotes and brackets are values, not grammar', async () => {
  const names = ['a,b.(c) {d} & e=f', 'quotes "x" and back\\slash']
  ok(await service.from('authors').insert(names.map((name, number) => ({ id: 50 + number, name }))))
  const found = ok(await anon.from('authors').select('name').in('name', [names[0], 'x']))
  const same = ok(await anon.from('authors').select('name').eq('name', names[1]))
  ok(await service.from('authors').delete().in('id', [50, 51]))
  assert.deepEqual([...found, ...same], names.map((name) => ({ name })))
})

test('related rows are embedded in every direction', async () => {
  const row = ok(await anon.from('authors').select('name,books(title,genres(name))').eq('id', 2).order('title', { referencedTable: 'books' }).single())
  assert.deepEqual(row, {
    name: 'Stanisław',
    books: [
      { title: 'Solaris', genres: [{ name: 'science fiction' }] },
      { title: 'The Cyberiad', genres: [{ name: 'science fiction' }, { name: 'satire' }] },
    ],
  })
  const one = ok(await anon.from('books').select('title,by:authors(name)').eq('id', 3).single())
  assert.deepEqual(one, { title: 'Solaris', by: { name: 'Stanisław' } })
  const spread = ok(await anon.from('books').select('title,...authors(author:name)').eq('id', 3).single())
  assert.deepEqual(spread, { title: 'Solaris', author: 'Stanisław' })
})

test('ranges are compared in every way', async () => {
  const ids = async (refine) => ok(await refine(anon.from('loans').select('id')).order('id')).map((row) => row.id)

  assert.deepEqual(await ids((q) => q.rangeGt('weeks', '[1,3)')), [2, 3])
  assert.deepEqual(await ids((q) => q.rangeGte('weeks', '[3,9)')), [2, 3])
  assert.deepEqual(await ids((q) => q.rangeLt('weeks', '[6,7)')), [1, 2])
  assert.deepEqual(await ids((q) => q.rangeLte('weeks', '[2,6)')), [1, 2])
  assert.deepEqual(await ids((q) => q.rangeAdjacent('weeks', '[6,8)')), [2, 3])
  assert.deepEqual(await ids((q) => q.overlaps('weeks', '[2,4)')), [1, 2])
  assert.deepEqual(await ids((q) => q.contains('weeks', '[3,5)')), [2])
  assert.deepEqual(await ids((q) => q.containedBy('weeks', '[1,7)')), [1, 2])
})

test('text is matched by lists, patterns and words', async () => {
  const ids = async (refine) => ok(await refine(anon.from('books').select('id')).order('id')).map((row) => row.id)

  assert.deepEqual(await ids((q) => q.likeAnyOf('title', ['Sol%', '%Heaven'])), [2, 3])
  assert.deepEqual(await ids((q) => q.likeAllOf('title', ['The%', '%d'])), [1, 4])
  assert.deepEqual(await ids((q) => q.ilikeAnyOf('title', ['SOL%', '%heaven'])), [2, 3])
  assert.deepEqual(await ids((q) => q.ilikeAllOf('title', ['the%', '%D'])), [1, 4])
  assert.deepEqual(await ids((q) => q.regexMatch('title', '^The .*d$')), [1, 4])
  assert.deepEqual(await ids((q) => q.regexIMatch('title', 'SOLARIS')), [3])
  assert.deepEqual(await ids((q) => q.notIn('id', [1, 2])), [3, 4])
  assert.deepEqual(await ids((q) => q.not('id', 'in', '(1,2)')), [3, 4])
  assert.deepEqual(await ids((q) => q.isDistinct('price', 7.5)), [1, 2, 4])
  assert.deepEqual(await ids((q) => q.textSearch('title', 'lathe heaven', { type: 'plain', config: 'english' })), [2])
  assert.deepEqual(await ids((q) => q.textSearch('title', 'lathe of heaven', { type: 'phrase', config: 'english' })), [2])
  assert.deepEqual(await ids((q) => q.textSearch('title', 'lathe or solaris', { type: 'websearch', config: 'english' })), [2, 3])
})

test('embedded rows are filtered, ordered and cut on their own', async () => {
  const rows = ok(await anon.from('authors').select('id,books(id)').order('id').limit(2)
    .or('pages.gt.380,pages.lt.200', { referencedTable: 'books' }).order('pages', { referencedTable: 'books', ascending: false }))
  assert.deepEqual(rows, [{ id: 1, books: [{ id: 1 }, { id: 2 }] }, { id: 2, books: [] }])
  const first = ok(await anon.from('authors').select('id,books(id)').order('id').limit(2)
    .order('price', { referencedTable: 'books', nullsFirst: true }).limit(1, { referencedTable: 'books' }))
  assert.deepEqual(first, [{ id: 1, books: [{ id: 1 }] }, { id: 2, books: [{ id: 4 }] }])
  const second = ok(await anon.from('authors').select('id,books(id)').eq('id', 1)
    .order('id', { referencedTable: 'books' }).range(1, 1, { referencedTable: 'books' }).single())
  assert.deepEqual(second, { id: 1, books: [{ id: 2 }] })
  const without = ok(await anon.from('authors').select('id,books()').is('books', null))
  assert.deepEqual(without, [{ id: 3 }])
})

test('columns that are missing take null or their default', async () => {
  const rows = [{ id: 10, book_id: 1, weeks: '[1,2)', note: 'x' }, { id: 11, book_id: 1, weeks: '[1,2)' }]
  const nulls = ok(await service.from('loans').insert(rows).select('note').order('id'))
  ok(await service.from('loans').delete().in('id', [10, 11]))
  const defaults = ok(await service.from('loans').insert(rows, { defaultToNull: false }).select('note').order('id'))
  ok(await service.from('loans').delete().in('id', [10, 11]))
  assert.deepEqual([nulls, defaults], [[{ note: 'x' }, { note: null }], [{ note: 'x' }, { note: 'on time' }]])
})

test('nulls are left out on request', async () => {
  assert.deepEqual(ok(await anon.from('loans').select('id,note').order('id').limit(2).stripNulls()), [{ id: 1, note: 'late' }, { id: 2 }])
  assert.deepEqual(ok(await anon.from('loans').select('id,note').eq('id', 2).stripNulls().single()), { id: 2 })
})

test('a write beyond the number of rows it may affect is undone', async () => {
  const change = (most) => service.from('loans').update({ note: 'lost' }).gt('id', 1).maxAffected(most).select('id').order('id')
  const refused = await change(1)
  assert.deepEqual([refused.status, refused.error.code], [400, 'PGRST124'])
  assert.deepEqual(ok(await anon.from('loans').select('id').eq('note', 'lost')), [])
  assert.deepEqual(ok(await change(2)), [{ id: 2 }, { id: 3 }])
  ok(await service.from('loans').update({ note: null }).eq('id', 2))
  ok(await service.from('loans').update({ note: 'on time' }).eq('id', 3))
})

test('functions take lists and answer single rows', async () => {
  assert.equal(ok(await anon.rpc('total', { numbers: [1, 2, 3] })), 6)
  assert.equal(ok(await anon.rpc('total', { numbers: [1, 2, 3] }, { get: true })), 6)
  assert.deepEqual(ok(await anon.rpc('books_longer_than', { minimum: 300 }).select('title,authors(name)').single()),
    { title: 'The Dispossessed', authors: { name: 'Ursula' } })
  const counted = await anon.rpc('books_longer_than', { minimum: 200 }, { get: true, count: 'exact' }).range(0, 0)
  assert.deepEqual([counted.count, counted.data.length], [3, 1])
})

test('an execution plan is told to nobody unless switched on', async () => {
  const plan = await anon.from('books').select('id').explain()
  assert.deepEqual([plan.status, plan.error.code], [406, 'PGRST107'])
})

test('an error is thrown where that is asked for', async () => {
  await assert.rejects(anon.from('books').select('nope').throwOnError().then(), { code: '42703' })
  assert.equal((await anon.from('books').select('id').throwOnError()).data.length, 4)
})

test('an inner embed filters the rows above it', async () => {
  const rows = ok(await anon.from('authors').select('name,books!inner(title)').gt('books.pages', 290).order('id'))
  assert.deepEqual(rows, [{ name: 'Ursula', books: [{ title: 'The Dispossessed' }] }, { name: 'Stanisław', books: [{ title: 'The Cyberiad' }] }])
})

test('counts come with rows or alone', async () => {
  const whole = await anon.from('books').select('id', { count: 'exact' }).range(0, 1)
  assert.equal(ok(whole).length, 2)
  assert.equal(whole.count, 4)
  const head = await anon.from('books').select('*', { count: 'exact', head: true })
  assert.equal(head.error, null)
  assert.equal(head.count, 4)
  assert.equal(head.data, null)
})

test('numbers keep every digit in the text that the server sends', async () => {
  const answer = await fetch(`${server.url}/rest/v1/books?select=price&id=eq.2`, { headers: { apikey: server.keys.anon_key } })
  assert.equal(await answer.text(), '[{"price":12345678901234.5678}]')
})

test('single and maybeSingle answer one row, no row or an error', async () => {
  assert.deepEqual(ok(await anon.from('genres').select('*').eq('id', 1).single()), { id: 1, name: 'science fiction' })
  const none = await anon.from('genres').select('*').eq('id', 99).single()
  assert.equal(none.status, 406)
  assert.equal(none.error.code, 'PGRST116')
  assert.equal(ok(await anon.from('genres').select('*').eq('id', 99).maybeSingle()), null)
  const many = await anon.from('genres').select('*').maybeSingle()
  assert.equal(many.error.code, 'PGRST116')
})

test('rows come as CSV', async () => {
  assert.equal(ok(await anon.from('genres').select('id,name').order('id').csv()), 'id,name\n1,"science fiction"\n2,satire')
})

test('rows are inserted, changed and deleted', async () => {
  const inserted = ok(await service.from('books').insert({ author_id: 3, title: 'Untitled', pages: 1 }).select().single())
  assert.equal(inserted.title, 'Untitled')
  const changed = ok(await service.from('books').update({ pages: 2 }).eq('id', inserted.id).select('pages'))
  assert.deepEqual(changed, [{ pages: 2 }])
  const gone = ok(await service.from('books').delete().eq('id', inserted.id).select('id'))
  assert.deepEqual(gone, [{ id: inserted.id }])
  const left = await anon.from('books').select('*', { count: 'exact', head: true })
  assert.equal(left.count, 4)
})

test('a write without select answers nothing but its status', async () => {
  const inserted = await service.from('genres').insert({ id: 9, name: 'x' })
  assert.deepEqual([inserted.status, inserted.data, inserted.error], [201, null, null])
  const deleted = await service.from('genres').delete().eq('id', 9)
  assert.deepEqual([deleted.status, deleted.data, deleted.error], [204, null, null])
})

test('many rows are inserted at once, and all or none', async () => {
  const bad = await service.from('genres').insert([{ id: 10, name: 'a' }, { id: 1, name: 'taken' }])
  assert.equal(bad.status, 409)
  assert.equal(bad.error.code, '23505')
  assert.equal(ok(await anon.from('genres').select('id').eq('id', 10)).length, 0)
  const rows = ok(await service.from('genres').insert([{ id: 10, name: 'a' }, { id: 11, name: 'b' }], { count: 'exact' }).select('id'))
  ok(await service.from('genres').delete().in('id', [10, 11]))
  assert.deepEqual(rows, [{ id: 10 }, { id: 11 }])
})

test('upsert merges or leaves what is there', async () => {
  ok(await service.from('genres').insert({ id: 20, name: 'old' }))
  const merged = ok(await service.from('genres').upsert([{ id: 20, name: 'new' }, { id: 21, name: 'more' }]).select().order('id'))
  const ignored = ok(await service.from('genres').upsert({ id: 20, name: 'newer' }, { ignoreDuplicates: true }).select())
  const byName = ok(await service.from('authors').upsert({ name: 'Nobody', tags: ['x'] }, { onConflict: 'name' }).select('id,tags').single())
  ok(await service.from('genres').delete().in('id', [20, 21]))
  ok(await service.from('authors').update({ tags: [] }).eq('id', 3))
  assert.deepEqual(merged, [{ id: 20, name: 'new' }, { id: 21, name: 'more' }])
  assert.deepEqual(ignored, [])
  assert.deepEqual(byName, { id: 3, tags: ['x'] })
})

test('functions are called by POST and GET, with filters on their rows', async () => {
  assert.equal(ok(await anon.rpc('add', { a: 2, b: 3 })), 5)
  assert.equal(ok(await anon.rpc('add', { a: 2, b: 3 }, { get: true })), 5)
  assert.deepEqual(ok(await anon.rpc('books_longer_than', { minimum: 200 }).select('title').lt('pages', 300).order('title')),
    [{ title: 'Solaris' }, { title: 'The Cyberiad' }])
  const counted = await anon.rpc('books_longer_than', { minimum: 200 }, { head: true, count: 'exact' })
  assert.equal(counted.count, 3)
})

test('a function knows who calls', async () => {
  const id = '11111111-1111-4111-8111-111111111111'
  assert.deepEqual(ok(await user(id, { email: 'a@example.com' }).rpc('whoami')), { role: 'authenticated', id, email: 'a@example.com' })
  assert.deepEqual(ok(await anon.rpc('whoami')), { role: 'anon', id: null, email: null })
  assert.equal(ok(await service.rpc('whoami')).role, 'service_role')
})

test('an error raised in SQL arrives whole', async () => {
  const { error, status } = await anon.rpc('fail_politely')
  assert.equal(status, 400)
  assert.deepEqual({ ...error }, { code: 'P0001', message: 'no luck today', details: 'the detail', hint: 'the hint' })
})

test('errors have PostgREST codes', async () => {
  const column = await anon.from('books').select('nope')
  assert.deepEqual([column.status, column.error.code], [400, '42703'])
  const table = await anon.from('nope').select('*')
  assert.deepEqual([table.status, table.error.code], [404, 'PGRST205'])
  const relation = await anon.from('books').select('*,nope(*)')
  assert.deepEqual([relation.status, relation.error.code], [400, 'PGRST200'])
  const func = await anon.rpc('nope')
  assert.deepEqual([func.status, func.error.code], [404, 'PGRST202'])
  const check = await service.from('books').insert({ author_id: 1, title: 'x', pages: -1 })
  assert.deepEqual([check.status, check.error.code], [400, '23514'])
  const schema = await anon.schema('nope').from('books').select('*')
  assert.deepEqual([schema.status, schema.error.code], [406, 'PGRST106'])
})

test('users see and write their own rows only', async () => {
  const alice = user('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa')
  const bob = user('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb')
  ok(await alice.from('notes').insert({ body: 'of alice' }))
  assert.deepEqual(ok(await alice.from('notes').select('body')), [{ body: 'of alice' }])
  assert.deepEqual(ok(await bob.from('notes').select('body')), [])
  assert.deepEqual(ok(await bob.from('notes').delete().neq('id', 0).select()), [])
  const foreign = await bob.from('notes').insert({ body: 'x', owner: 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa' })
  assert.deepEqual([foreign.status, foreign.error.code], [403, '42501'])
  assert.deepEqual(ok(await anon.from('notes').select('body')), [])
  assert.equal(ok(await service.from('notes').select('body')).length, 1)
  ok(await service.from('notes').delete().neq('id', 0))
})

test('a table without row-level security is closed, with the SQL that opens it', async () => {
  const closed = await anon.from('unprotected').select('*')
  assert.deepEqual([closed.status, closed.error.code], [401, '42501'])
  assert.match(closed.error.hint, /enable row level security/i)
  assert.deepEqual(ok(await service.from('unprotected').select('*')), [])
})

test('a change to all rows at once is refused', async () => {
  const all = await anon.from('genres').delete()
  assert.ok(all.error)
  assert.ok(all.status >= 400 && all.status < 500)
  assert.equal(ok(await anon.from('genres').select('id')).length, 2)
})

test('a table made by SQL is served by itself', async () => {
  await sql.query('create table fresh (id int primary key); alter table fresh enable row level security; create policy p on fresh using (true)')
  await served('fresh')
  await sql.query('drop table fresh')
})

test('an aborted request is an error and nothing more', async () => {
  const stop = new AbortController()
  stop.abort()
  assert.ok((await anon.from('books').select('*').abortSignal(stop.signal)).error)
  assert.equal(ok(await anon.from('books').select('id')).length, 4)
})
