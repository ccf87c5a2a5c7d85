// storage-js, unmodified: addresses that open an object without a client, and pictures in other sizes.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ok } from './auth.js'
import { picture, refused, sizeOf, startStorage } from './storage.js'

let storage, photos, shown

before(async () => {
  storage = await startStorage({ 'storage.max_signed_url': '1h' })
  const { storage: service } = storage.service
  ok(await service.createBucket('photos'))
  ok(await service.createBucket('shown', { public: true }))
  photos = service.from('photos')
  shown = service.from('shown')
  for (const bucket of [photos, shown]) {
    ok(await bucket.upload('cat 1.png', picture(40, 20), { contentType: 'image/png', cacheControl: '60' }))
    ok(await bucket.upload('note.txt', 'a note'))
  }
})
after(() => storage?.stop())

/** What an address answers to somebody without a key. */
async function open(url, headers = {}) {
  const answer = await fetch(url, { headers })
  return { status: answer.status, headers: answer.headers, body: await answer.blob() }
}

test('a public bucket has addresses for everybody, also to save and in other sizes', async () => {
  const { publicUrl } = shown.getPublicUrl('cat 1.png').data
  const answer = await open(publicUrl)
  assert.deepEqual([answer.status, await sizeOf(answer.body)], [200, [40, 20]])
  assert.deepEqual([answer.headers.get('content-type'), answer.headers.get('cache-control')], ['image/png', 'max-age=60'])
  assert.equal((await open(publicUrl, { 'if-none-match': answer.headers.get('etag') })).status, 304)
  const part = await open(shown.getPublicUrl('note.txt').data.publicUrl, { range: 'bytes=2-' })
  assert.deepEqual([part.status, await part.body.text(), part.headers.get('content-range')], [206, 'note', 'bytes 2-5/6'])

  const saved = await open(shown.getPublicUrl('cat 1.png', { download: 'Kätzchen.png', cacheNonce: '7' }).data.publicUrl)
  assert.match(saved.headers.get('content-disposition'), /^attachment; filename=.*; filename\*=UTF-8''K%C3%A4tzchen\.png$/)
  const plain = await open(shown.getPublicUrl('cat 1.png', { download: true }).data.publicUrl)
  assert.match(plain.headers.get('content-disposition'), /^attachment/)
  const transform = { width: 10, height: 10, resize: 'contain' }
  const small = await open(shown.getPublicUrl('cat 1.png', { transform }).data.publicUrl)
  assert.deepEqual([small.status, await sizeOf(small.body)], [200, [10, 5]])

  const hidden = await open(photos.getPublicUrl('cat 1.png').data.publicUrl)
  assert.deepEqual([hidden.status, JSON.parse(await hidden.body.text()).error], [400, 'Bucket not found'])
})

test('a signed address opens one object for a while', async () => {
  const { signedUrl } = ok(await photos.createSignedUrl('cat 1.png', 60))
  const answer = await open(signedUrl)
  assert.deepEqual([answer.status, await sizeOf(answer.body)], [200, [40, 20]])
  assert.equal(answer.headers.get('cache-control'), null)
  const left = Date.parse(answer.headers.get('expires')) - Date.now()
  assert.ok(left > 0 && left <= 61_000, `${left}`)
  const saved = ok(await photos.createSignedUrl('cat 1.png', 60, { download: 'cat.png' })).signedUrl
  assert.match((await open(saved)).headers.get('content-disposition'), /filename\*=UTF-8''cat\.png$/)

  const other = new URL(signedUrl)
  other.pathname = other.pathname.replace('cat%201.png', 'note.txt')
  for (const wrong of [other.href, `${signedUrl}x`, signedUrl.split('?')[0]]) {
    const refusal = await open(wrong)
    assert.deepEqual([refusal.status, JSON.parse(await refusal.body.text()).code], [400, 'InvalidJWT'], wrong)
  }
  refused(await photos.createSignedUrl('nothing.png', 60), 400, '404', /^Object not found$/)
  refused(await photos.createSignedUrl('cat 1.png', 0), 400, '400', /expiresIn/)
  refused(await photos.createSignedUrl('cat 1.png', 3601), 400, '400', /expiresIn/)
})

test('many addresses are signed at once, and what is missing says so', async () => {
  const signed = ok(await photos.createSignedUrls(['cat 1.png', 'nothing.png', 'note.txt'], 60, { download: true }))
  assert.deepEqual(signed.map(({ path }) => path), ['cat 1.png', 'nothing.png', 'note.txt'])
  assert.deepEqual([signed[1].signedUrl, signed[1].error],
    [null, 'Either the object does not exist or you do not have access to it'])
  const note = await open(signed[2].signedUrl)
  assert.deepEqual([await note.body.text(), note.headers.get('content-disposition')?.startsWith('attachment')], ['a note', true])
  assert.equal((await open(signed[0].signedUrl)).status, 200)
})

test('a signed upload address takes one object, from somebody who may not', async () => {
  const { token, path, signedUrl } = ok(await photos.createSignedUploadUrl('in box/new.txt'))
  assert.ok(path === 'in box/new.txt' && signedUrl.includes(token))
  const guest = storage.anon.storage.from('photos')
  refused(await guest.upload('in box/new.txt', 'x'), 400, '403', /^new row violates row-level security policy for table "objects"$/)
  const body = new Blob(['by a guest'], { type: 'text/plain' })
  const sent = ok(await guest.uploadToSignedUrl(path, token, body, { cacheControl: '5', metadata: { from: 'guest' } }))
  assert.deepEqual(sent, { path, fullPath: `photos/${path}` })
  const info = ok(await photos.info(path))
  assert.deepEqual([info.size, info.contentType, info.cacheControl], [10, 'text/plain', 'max-age=5'])
  assert.deepEqual(info.metadata, { from: 'guest' })

  refused(await guest.uploadToSignedUrl(path, token, 'again'), 400, '409', /^The resource already exists$/)
  refused(await guest.uploadToSignedUrl('other.txt', token, 'x'), 400, '400', /token/)
  refused(await photos.createSignedUploadUrl(path), 400, '409', /^The resource already exists$/)
  const again = ok(await photos.createSignedUploadUrl(path, { upsert: true }))
  ok(await guest.uploadToSignedUrl(path, again.token, 'replaced'))
  assert.equal(await ok(await photos.download(path)).text(), 'replaced')
  const download = ok(await photos.createSignedUrl(path, 60)).signedUrl
  refused(await guest.uploadToSignedUrl(path, new URL(download).searchParams.get('token'), 'x'), 400, '400', /token/)
})

test('pictures come in the size and format that is asked for', async () => {
  const size = async (transform) => sizeOf(ok(await photos.download('cat 1.png', { transform })))
  assert.deepEqual(await size({ width: 20 }), [20, 10])
  assert.deepEqual(await size({ width: 10, height: 10 }), [10, 10])
  assert.deepEqual(await size({ width: 10, height: 10, resize: 'contain' }), [10, 5])
  assert.deepEqual(await size({ width: 10, height: 20, resize: 'fill', quality: 30, format: 'origin' }), [10, 20])
  assert.equal(ok(await photos.download('cat 1.png', { transform: { width: 10, format: 'webp' } })).type, 'image/webp')

  const { signedUrl } = ok(await photos.createSignedUrl('cat 1.png', 60, { transform: { width: 8, height: 8 } }))
  const answer = await open(`${signedUrl}&width=30`)
  assert.deepEqual([answer.status, await sizeOf(answer.body)], [200, [8, 8]], 'the token says which size')
  assert.match(answer.headers.get('x-transformations'), /height:8,width:8,resizing_type:fill/)
  refused(await photos.download('cat 1.png', { transform: { width: 10, quality: 10 } }), 400, '400', /quality/)
  assert.equal(await ok(await photos.download('note.txt', { transform: { width: 10 } })).text(), 'a note')
})
