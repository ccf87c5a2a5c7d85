// Runs the tours of the README and the guides as a new user would, so that they cannot rot: every marked block is executed
// in order, every marked output is compared. Of the command that starts the server only the building is replaced: the
// executable is built already, and is put where the tour's commands look for it.
//
// Marks are comments above a fenced block: `tour: server`, `tour: sh` (a command; `eventually` may be repeated until it
// succeeds), `tour: file NAME` (becomes that file), `tour: output` (what the block before it prints; an ellipsis in it
// stands for what differs from run to run), `tour: given NAME` (commands in whose place the test provides something: see
// GIVEN). What stands above the server is done before it starts.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { binary, freePort, startServer, stopped, temporaryFolder, untilReady } from '../clients/node/server.js'

/** The pages with a tour, each on a server of its own. */
const PAGES = ['README.md', 'docs/guides/table-security.md', 'docs/guides/auth.md', 'docs/guides/api-keys.md',
  'docs/guides/realtime.md', 'docs/guides/storage.md', 'docs/guides/s3.md', 'docs/guides/migrate-from-supabase.md']

/** npm asks nobody for what it has in its cache. */
const FROM_CACHE = { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' }

/** What a reader brings along: each puts it into the folder or the environment, and may return how to clean up. */
const GIVEN = {
  /** An empty database in a PostgreSQL server, that of another goforward here. */
  async database(folder, env) {
    const { keys, stop } = await startServer()
    const { status, err } = await run('psql', [keys.database_url, '--quiet', '--command', 'create database project'], { env })
    assert.equal(status, 0, err)
    const url = new URL(keys.database_url)
    url.pathname = '/project'
    env.DATABASE_URL = url.href
    return stop
  },
  /** The dump of a small Supabase project. */
  dump(folder) {
    const file = new URL('../it/fixtures/supabase_project.sql', import.meta.url)
    copyFileSync(file, join(folder, 'project.sql'))
  },
}

const page = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** -> [{ kind, argument, text }] in the order of the page */
function blocks(text) {
  const marked = /<!-- tour: (\w+) ?(\S*) -->\n```\w*\n([\s\S]*?)\n```/g
  return [...text.matchAll(marked)].map(([, kind, argument, text]) => ({ kind, argument, text }))
}

/** The tour as one shell script; MARK lines divide what the commands print. */
function script(tour) {
  const lines = ['set -euo pipefail']
  tour.forEach((block, number) => {
    if (block.kind === 'file') lines.push(`cat > ${block.argument} <<'END OF ${block.argument}'`, block.text, `END OF ${block.argument}`)
    if (block.kind === 'sh') lines.push(`echo "MARK ${number}"`)
    if (block.kind === 'sh' && block.argument === 'eventually') {
      lines.push('for try in $(seq 300); do', `if ${block.text}`, 'then break; fi', '[ $try -lt 300 ]; sleep 0.1', 'done', 'echo')
    } else if (block.kind === 'sh') {
      lines.push(block.text, 'echo')
    }
  })
  return lines.join('\n') + '\n'
}

/** Runs a program to its end. */
function run(program, args, options) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    let out = '', err = ''
    child.stdout.on('data', (data) => (out += data))
    child.stderr.on('data', (data) => (err += data))
    child.on('error', failed)
    child.on('close', (status) => done({ status, out, err }))
    child.stdin.end()
  })
}

/** What a block prints must be what the page says, blanks at the ends of lines aside. */
function assertPrints(output, expected) {
  const printed = output.replace(/ +$/gm, '')
  const pattern = expected.split('…').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('[^\\n]*?')
  if (!new RegExp(`^${pattern}$`).test(printed)) assert.equal(printed, expected)
}

/** Runs blocks as one script; -> what each of them printed, by its place. */
async function perform(tour, options) {
  const { status, out, err } = await run('bash', ['-c', script(tour)], options)
  assert.equal(status, 0, `${out}\n${err}`)
  return new Map(out.split(/^MARK /m).slice(1).map((part) => {
    const [, number, text] = /^(\d+)\n([\s\S]*)$/.exec(part)
    return [Number(number), text.trim()]
  }))
}

/** The command that starts the server, without the building of it. */
function serverCommand({ text }) {
  return text.replace(/^cargo run --release --/m, 'exec ./target/release/goforward')
}

/** Runs a page's tour on a server of its own. */
async function follow(tour) {
  const folder = temporaryFolder('goforward-tour-')
  mkdirSync(join(folder, 'target/release'), { recursive: true })
  symlinkSync(binary, join(folder, 'target/release/goforward'))
  const log = join(folder, 'log')
  const out = openSync(log, 'a')
  const port = await freePort()
  const env = { ...process.env, ...FROM_CACHE, GOFORWARD_SERVER__PORT: String(port) }
  const options = { cwd: folder, env }
  const start = tour.findIndex((block) => block.kind === 'server')
  const cleanups = []
  try {
    for (const { argument } of tour.filter(({ kind }) => kind === 'given')) cleanups.push(await GIVEN[argument](folder, env))
    await perform(tour.slice(0, start), options)
    const server = spawn('bash', ['-c', serverCommand(tour[start])], { ...options, stdio: ['ignore', out, out] })
    cleanups.unshift(() => stopped(server))
    await untilReady(`http://127.0.0.1:${port}`, server, log)
    const rest = tour.slice(start)
    const printed = await perform(rest, options).catch((error) => {
      error.message += `\n${readFileSync(log, 'utf8').slice(-2000)}`
      throw error
    })
    rest.forEach((block, number) => {
      if (block.kind === 'output') assertPrints(printed.get(number - 1), block.text.trim())
    })
  } finally {
    for (const cleanup of cleanups) await cleanup?.()
    rmSync(folder, { recursive: true, force: true })
  }
}

test('the tour of the README protects its table by SQL', () => {
  const sql = blocks(page('README.md')).find((block) => block.kind === 'file' && block.argument.endsWith('.sql')).text
  assert.match(sql, /enable row level security/)
  assert.match(sql, /create policy/)
})

for (const path of PAGES) {
  const text = page(path)
  const tour = blocks(text)

  test(`the tour of ${path} has a server, and outputs to compare after commands`, () => {
    assert.equal(tour.length, text.match(/<!-- tour:/g).length, 'every mark has its block')
    assert.equal(tour.filter((block) => block.kind === 'server').length, 1)
    const outputs = tour.flatMap((block, number) => (block.kind === 'output' ? [number] : []))
    assert.ok(outputs.length >= 3)
    for (const number of outputs) {
      assert.equal(tour[number - 1].kind, 'sh', tour[number].text)
      assert.match(tour[number].text, /\w{3}/, 'more than what differs')
    }
  })

  test(`the tour of ${path} does what it says`, { timeout: 900_000 }, () => follow(tour))
}
