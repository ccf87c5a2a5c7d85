// Starts the real executable with an embedded PostgreSQL in a temporary folder, for the client tests and the tour.
// The executable comes from GOFORWARD_BINARY, else from target/debug. Only Node's own modules are used here.
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
export const binary = resolve(process.env.GOFORWARD_BINARY ?? join(root, 'target/debug/goforward'))

// Below the ports that the system gives to connections, and below those of the tests in Python. Files whose processes start one
// after another begin apart.
const [FIRST_PORT, PORTS] = [10_000, 11_000]
let nextPort = process.pid * 16

/** A port that nobody listens on, and that no other call gives out. */
export async function freePort() {
  for (;;) {
    const port = FIRST_PORT + nextPort++ % PORTS
    if (await isFree(port)) return port
  }
}

function isFree(port) {
  return new Promise((done) => {
    const probe = createServer()
    probe.once('error', () => done(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)))
  })
}

/** A folder that the database's unprivileged account can pass through. */
export function temporaryFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), name))
  chmodSync(folder, 0o755)
  return folder
}

/** Waits until the server answers its readiness probe; fails with the end of its log. */
export async function untilReady(url, child, log) {
  const deadline = Date.now() + 300_000
  for (;;) {
    const answer = await fetch(`${url}/health/ready`).catch(() => undefined)
    if (answer?.status === 200) return
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`the server is not ready:\n${existsSync(log) ? readFileSync(log, 'utf8').slice(-3000) : ''}`)
    }
    await new Promise((next) => setTimeout(next, 50))
  }
}

/** Ends the server gently, by force after a while. */
export async function stopped(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((done) => child.once('exit', done))
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await ended
  clearTimeout(force)
}

/**
 * -> { url, keys, stop, restart }: a running server on a data directory of its own; `settings` are names and values of the
 * configuration. `restart` ends it and starts it again, at the same address.
 */
export async function startServer(settings = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} is not there: cargo build first`)
  const folder = temporaryFolder('goforward-client-')
  const data = join(folder, 'data')
  const port = await freePort()
  const log = join(folder, 'log')
  const out = openSync(log, 'a')
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, LC_ALL: 'C.UTF-8', TZ: 'UTC' }
  const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
  const url = `http://127.0.0.1:${port}`
  let child
  const start = async () => {
    child = spawn(binary, ['serve', '--data-dir', data, '--host', '127.0.0.1', '--port', String(port), ...set],
      { cwd: folder, env, stdio: ['ignore', out, out] })
    await untilReady(url, child, log)
  }
  const restart = async () => {
    await stopped(child)
    await start()
  }
  const stop = async () => {
    await stopped(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await start()
    const keys = JSON.parse(execFileSync(binary, ['keys', '--json', '--data-dir', data, ...set], { cwd: folder, env }))
    return { url, keys, stop, restart }
  } catch (error) {
    await stop()
    throw error
  }
}
