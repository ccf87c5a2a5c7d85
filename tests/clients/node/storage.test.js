// storage-js, unmodified, against the real executable: buckets, and objects in them. Every test has objects of its own.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { ok } from './auth.js'
import { refused, startStorage } from './storage.js'

let storage, service, files

before(async () => {
  storage = await startStorage()
  service = storage.service.storage
  ok(await service.createBucket('files'))
  files = service.from('files')
})
after(() => storage?.stop())

const text = async (answer) => (await ok(await answer)).text()
const names = (rows) => rows.map(({ name }) => name)

test('buckets are made, shown, listed, changed and removed', async () => {
  assert.deepEqual(ok(await service.createBucket('avatars')), { name: 'avatars' })
  ok(await service.createBucket('covers', { public: true, fileSizeLimit: '2MB', allowedMimeTypes: ['image/*'] }))
  const covers = ok(await service.getBucket('covers'))
  assert.deepEqual([covers.id, covers.name, covers.public], ['covers', 'covers', true])
  assert.deepEqual([covers.file_size_limit, covers.allowed_mime_types], [2_000_000, ['image/*']])
  assert.deepEqual(names(ok(await service.listBuckets())), ['avatars', 'covers', 'files'])
  const listed = ok(await service.listBuckets({ search: 'a', sortColumn: 'created_at', sortOrder: 'desc', limit: 1, offset: 0 }))
  assert.deepEqual([names(listed), listed[0].type], [['avatars'], 'STANDARD'])

  const updated = await service.updateBucket('covers', { public: false, fileSizeLimit: null, allowedMimeTypes: null })
  assert.deepEqual(ok(updated), { message: 'Successfully updated' })
  const changed = ok(await service.getBucket('covers'))
  assert.deepEqual([changed.public, changed.file_size_limit, changed.allowed_mime_types], [false, null, null])
  for (const name of ['avatars', 'covers']) {
    assert.deepEqual(ok(await service.deleteBucket(name)), { message: 'Successfully deleted' })
  }
  refused(await service.getBucket('covers'), 400, '404', /^Bucket not found$/)
})

test('a bucket that is wrong, there already or not empty is refused', async () => {
  refused(await service.createBucket('files'), 400, '409', /^The resource already exists$/)
  refused(await service.createBucket('a/b'), 400, '400', /^Bucket name invalid$/)
  refused(await service.createBucket('large', { fileSizeLimit: '60GB' }), 400, '413', /exceeded the maximum allowed size/)
  ok(await service.createBucket('full'))
  ok(await service.from('full').upload('a.txt', 'a'))
  refused(await service.deleteBucket('full'), 400, '409', /not empty/)
  refused(await storage.anon.storage.emptyBucket('full'), 403, '403', /Access denied/)
  assert.match(ok(await service.emptyBucket('full')).message, /^Empty bucket has been queued/)
  assert.deepEqual(ok(await service.from('full').list()), [])
  ok(await service.deleteBucket('full'))
})

test('whatever a client can send is stored as it is', async () => {
  const bodies = {
    blob: new Blob(['héllo'], { type: 'text/markdown' }),
    file: new File(['héllo'], 'other-name.md', { type: 'text/markdown' }),
    buffer: Buffer.from('héllo'),
    array: new TextEncoder().encode('héllo').buffer,
    text: 'héllo',
    stream: new Blob(['hé', 'llo']).stream(),
    readable: Readable.from([Buffer.from('hé'), Buffer.from('llo')]),
    form: new FormData(),
  }
  bodies.form.append('cacheControl', '3600')
  bodies.form.append('', new Blob(['héllo'], { type: 'text/markdown' }))
  for (const [kind, body] of Object.entries(bodies)) {
    const path = `kinds/${kind}`
    const sent = ok(await files.upload(path, body, { contentType: 'text/markdown' }))
    assert.deepEqual([sent.path, sent.fullPath], [path, `files/${path}`], kind)
    const downloaded = ok(await files.download(path))
    assert.deepEqual([await downloaded.text(), downloaded.type], ['héllo', 'text/markdown'], kind)
    const info = ok(await files.info(path))
    assert.deepEqual([info.id, info.size, info.contentType, info.cacheControl], [sent.id, 6, 'text/markdown', 'max-age=3600'], kind)
  }
})

test('an object may have no bytes', async () => {
  for (const [kind, body] of Object.entries({ blob: new Blob([]), buffer: Buffer.alloc(0), text: '' })) {
    ok(await files.upload(`empty/${kind}`, body))
    assert.equal(ok(await files.download(`empty/${kind}`)).size, 0)
    assert.equal(ok(await files.info(`empty/${kind}`)).size, 0)
  }
})

test('objects are replaced where that is asked for, and keep their id', async () => {
  const first = ok(await files.upload('replaced.txt', 'one'))
  refused(await files.upload('replaced.txt', 'two'), 400, '409', /^The resource already exists$/)
  assert.equal(ok(await files.upload('replaced.txt', 'three', { upsert: true })).id, first.id)
  assert.equal(await text(files.download('replaced.txt')), 'three')
  assert.equal(ok(await files.update('replaced.txt', new Blob(['four']))).id, first.id)
  assert.equal(await text(files.download('replaced.txt')), 'four')
})

test('objects tell what is known of them', async () => {
  const metadata = { author: 'Ursula', pages: 387, tags: ['sf', 'ünicode'] }
  for (const body of [Buffer.from('12345'), new Blob(['12345'], { type: 'application/pdf' })]) {
    ok(await files.upload('described.pdf', body, { contentType: 'application/pdf', cacheControl: '60', metadata, upsert: true }))
    const info = ok(await files.info('described.pdf'))
    assert.deepEqual([info.name, info.bucketId, info.size, info.contentType], ['described.pdf', 'files', 5, 'application/pdf'])
    assert.deepEqual([info.cacheControl, info.metadata], ['max-age=60', metadata])
    assert.equal(info.etag, '"827ccb0eea8a706c4c34a16891f84e7b"')
    assert.ok(Date.parse(info.createdAt) && Date.parse(info.lastModified) && info.version)
  }
  assert.deepEqual(await files.exists('described.pdf'), { data: true, error: null })
  const missing = await files.exists('nothing.pdf')
  assert.deepEqual([missing.data, missing.error.status], [false, 400])
})

test('a download can be a stream, and what is not there says so', async () => {
  const large = Buffer.alloc(3 << 20, 'abc')
  ok(await files.upload('large.bin', large))
  const pieces = []
  for await (const piece of ok(await files.download('large.bin').asStream())) pieces.push(piece)
  assert.ok(Buffer.concat(pieces).equals(large))

  refused(await files.download('nothing.txt'), 400, '404', /^Object not found$/)
  refused(await files.info('nothing.txt'), 400, '404', /^Object not found$/)
  refused(await service.from('nowhere').download('a.txt'), 400, '404', /^Bucket not found$/)
  refused(await service.from('nowhere').upload('a.txt', 'a'), 400, '404', /^Bucket not found$/)
  await assert.rejects(service.from('files').throwOnError().download('nothing.txt'), { name: 'StorageApiError', statusCode: '404' })
})

test('names are what the rules of names allow', async () => {
  const allowed = ['with blank.txt', "it's (a) *name*!.txt", 'a/b/c/d.txt', 'a&b=c+d,e;f:g@h$.txt']
  for (const name of allowed) {
    ok(await files.upload(`names/${name}`, name))
    assert.equal(await text(files.download(`names/${name}`)), name)
  }
  for (const name of ['ünicode.txt', 'a[b].txt', 'a|b.txt', '{}.txt']) {
    refused(await files.upload(name, 'a'), 400, '400', /^Invalid key: /)
  }
})

test('what a bucket does not take is refused, whatever it is called', async () => {
  ok(await service.createBucket('small', { fileSizeLimit: 10, allowedMimeTypes: ['image/png', 'text/*'] }))
  const small = service.from('small')
  ok(await small.upload('a.txt', '0123456789'))
  refused(await small.upload('b.txt', '0123456789a'), 400, '413', /^The object exceeded the maximum allowed size$/)
  const pdf = await small.upload('b.pdf', 'x', { contentType: 'application/pdf' })
  refused(pdf, 400, '415', /^mime type application\/pdf is not supported$/)
  refused(await small.upload('b.png', '%PDF-1.7', { contentType: 'image/png' }), 400, '415', /^mime type application\/pdf/)
  assert.deepEqual(names(ok(await small.list())), ['a.txt'])
})

test('objects are moved and copied, within a bucket and to another', async () => {
  ok(await service.createBucket('archive'))
  const { id } = ok(await files.upload('moving/a.txt', 'moved', { metadata: { kept: true } }))
  const moved = ok(await files.move('moving/a.txt', 'moving/b.txt'))
  assert.deepEqual([moved.message, moved.Id], ['Successfully moved', id])
  assert.deepEqual(ok(await files.copy('moving/b.txt', 'moving/c.txt')), { path: 'files/moving/c.txt' })
  assert.deepEqual(ok(await files.copy('moving/b.txt', 'c.txt', { destinationBucket: 'archive' })), { path: 'archive/c.txt' })
  ok(await files.move('moving/b.txt', 'b.txt', { destinationBucket: 'archive' }))
  assert.deepEqual(names(ok(await files.list('moving'))), ['c.txt'])
  assert.deepEqual(names(ok(await service.from('archive').list())), ['b.txt', 'c.txt'])
  assert.equal(await text(service.from('archive').download('b.txt')), 'moved')
  assert.deepEqual(ok(await service.from('archive').info('c.txt')).metadata, { kept: true })

  refused(await files.move('moving/b.txt', 'moving/d.txt'), 400, '404', /^Object not found$/)
  refused(await files.copy('moving/b.txt', 'moving/d.txt'), 400, '404', /^Object not found$/)
  ok(await files.copy('moving/c.txt', 'moving/d.txt'))
  refused(await files.move('moving/c.txt', 'moving/d.txt'), 400, '409', /^The resource already exists$/)
  refused(await files.copy('moving/c.txt', 'moving/d.txt'), 400, '409', /^The resource already exists$/)
})

test('many objects are removed at once, and those that are not there passed over', async () => {
  for (const name of ['a', 'b', 'c']) ok(await files.upload(`removed/${name}`, name))
  const gone = ok(await files.remove(['removed/a', 'removed/nothing', 'removed/c']))
  assert.deepEqual(names(gone).sort(), ['removed/a', 'removed/c'])
  assert.deepEqual(names(ok(await files.list('removed'))), ['b'])
  refused(await files.remove([]), 400, '400', /prefixes/)
})

test('a folder is listed with folders first, page by page, by order and by search', async () => {
  for (const name of ['b.txt', 'a.txt', 'sub/x.txt', 'sub/y.txt', 'other/z.txt']) ok(await files.upload(`listed/${name}`, name))
  const all = ok(await files.list('listed'))
  assert.deepEqual(names(all), ['a.txt', 'b.txt', 'other', 'sub'])
  assert.deepEqual([all[2].id, all[2].metadata], [null, null])
  assert.deepEqual([all[0].metadata.size, all[0].metadata.mimetype], [5, 'text/plain;charset=UTF-8'])
  assert.deepEqual(names(ok(await files.list('listed', { limit: 2, offset: 1 }))), ['b.txt', 'other'])
  const newest = ok(await files.list('listed', { sortBy: { column: 'created_at', order: 'desc' } }))
  assert.deepEqual(names(newest).slice(-2), ['a.txt', 'b.txt'])
  assert.deepEqual(names(ok(await files.list('listed', { search: 'S' }))), ['sub'])
  assert.deepEqual(names(ok(await files.list('listed/sub/'))), ['x.txt', 'y.txt'])
  assert.deepEqual(ok(await files.list('nothing')), [])
})

test('a bucket is listed by cursors, with whole names', async () => {
  for (const name of ['a.txt', 'b/1.txt', 'b/2.txt', 'c.txt', 'd.txt']) ok(await files.upload(`paged/${name}`, name))
  const first = ok(await files.listV2({ prefix: 'paged/', limit: 2, with_delimiter: true }))
  assert.equal(first.hasNext, true)
  assert.deepEqual([names(first.folders), names(first.objects)], [['paged/b/'], ['paged/a.txt']])
  const second = ok(await files.listV2({ prefix: 'paged/', limit: 2, with_delimiter: true, cursor: first.nextCursor }))
  assert.deepEqual([second.hasNext, names(second.objects)], [false, ['paged/c.txt', 'paged/d.txt']])
  const flat = ok(await files.listV2({ prefix: 'paged/', sortBy: { column: 'name', order: 'desc' } }))
  assert.deepEqual(names(flat.objects), ['d.txt', 'c.txt', 'b/2.txt', 'b/1.txt', 'a.txt'].map((name) => `paged/${name}`))
  assert.equal(flat.objects[0].key, 'paged/d.txt')
})
