// Builds real images, the smallest that mmdebstrap makes, and kills builds at bad moments.
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const TINY = fileURLToPath(new URL('../fixtures/images/tiny', import.meta.url));
const USER = 'nested-check-test';
const isRoot = process.getuid?.() === 0;

let folder: string;
let cache: string;
let work: string;
beforeEach(() => {
  // not in a folder that only we can enter: an unprivileged build has users of its own
  folder = dirSync({ prefix: 'nested-check-test', tmpdir: '/var/tmp', mode: 0o755 }).name;
  chmodSync(folder, 0o755);
  cache = join(folder, 'cache/nested-check/images');
  work = join(folder, 'work');
  mkdirSync(work);
  chmodSync(work, 0o1777);
});
afterEach(() => rmSync(folder, { recursive: true }));

const environment = () => ({ XDG_CACHE_HOME: join(folder, 'cache'), TMPDIR: work });

function build(recipe = TINY, prefix: readonly string[] = []) {
  const [command = '', ...args] = [...prefix, process.execPath, CLI, 'image', 'build', recipe];
  return execa(command, args, { reject: false, env: environment(), cwd: folder });
}

/** Resolves when the progress of a build has reached this word. */
async function reached(subprocess: ReturnType<typeof build>, word: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    subprocess.stderr?.on('data', (chunk) => String(chunk).includes(word) && resolve());
    subprocess.on('exit', () => reject(new Error(`the build ended before ${word}`)));
  });
}

const entries = () => readdirSync(cache).filter((name) => name !== '.lock');

/** Nothing of a build is there: no chroot, no mount, no process whose environment or words name our folder. */
async function expectNothingRunning(): Promise<void> {
  expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(folder);
  expect((await execa('pgrep', ['-f', `${folder}/work`], { reject: false })).stdout).toBe('');
}

test('two at once build once', async () => {
  const both = await Promise.all([build(), build()]);
  expect(both.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  expect(both[0].stdout).toBe(both[1].stdout);
  const progress = both.map(({ stderr }) => stderr).sort((a, b) => a.length - b.length);
  expect(progress[0]).toMatch(/^image tiny: waiting for another build \(pid \d+\)$/);
  expect(progress[1]).toMatch(/: downloading packages from .*: compressing \(\d+ s\)\n.*: built in \d+ s, /s);
  expect(readdirSync(join(cache, entries()[0] as string)).sort()).toEqual([
    'initramfs.img',
    'manifest.json',
    'packages.tsv',
    'root.erofs',
    'vmlinuz',
  ]);
  expect(readdirSync(work)).toEqual([]);
});

test('killed with SIGKILL: nothing runs on, nothing half-made is found, the next build clears up and works', async () => {
  const first = build();
  await reached(first, 'installing');
  first.kill('SIGKILL');
  await first;
  await expect
    .poll(async () => (await execa('pgrep', ['-f', work], { reject: false })).stdout, { timeout: 5000 })
    .toBe('');
  await expectNothingRunning();
  expect(entries()).toEqual([expect.stringMatching(/^\.build-/)]);
  expect(readdirSync(work)).toHaveLength(1);
  const second = await build();
  expect(second.exitCode).toBe(0);
  expect(entries()).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  expect(readdirSync(work)).toEqual([]);
});

test('interrupted: status 130, and nothing remains', async () => {
  const interrupted = build();
  await reached(interrupted, 'installing');
  interrupted.kill('SIGINT');
  const { exitCode, stderr } = await interrupted;
  expect(exitCode).toBe(130);
  expect(stderr).toContain('building was interrupted');
  expect(entries()).toEqual([]);
  expect(readdirSync(work)).toEqual([]);
  await expectNothingRunning();
});

test('a customize.sh that fails: its last words, and nothing remains', async () => {
  const recipe = join(folder, 'broken');
  cpSync(TINY, recipe, { recursive: true });
  writeFileSync(join(recipe, 'customize.sh'), 'echo this went wrong >&2; exit 7\n');
  const { exitCode, stderr } = await build(recipe);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/image broken: mmdebstrap failed \(status \d+\); its last lines:\n.* this went wrong\n/s);
  expect(entries()).toEqual([]);
  expect(readdirSync(work)).toEqual([]);
});

test('a mirror that is not there: another attempt, then its words and a hint', async () => {
  const { exitCode, stderr } = await execa(process.execPath, [CLI, 'image', 'build', TINY], {
    reject: false,
    env: { ...environment(), NESTED_CHECK_MIRROR: 'http://127.0.0.1:9/debian' },
  });
  expect(exitCode).toBe(3);
  expect(stderr).toContain('download failed, trying again');
  expect(stderr).toContain('NESTED_CHECK_MIRROR names another mirror');
  expect(readdirSync(work)).toEqual([]);
});

test('no room: says how much is needed, before anything is downloaded', async (context) => {
  if (!isRoot) context.skip('only root can mount a small disk');
  const { exitCode, stderr } = await build(TINY, [
    ...['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"', work],
  ]);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/building an image needs 2\.5 GB in \S+, and 0\.1 GB are free/);
  expect(stderr).not.toContain('downloading');
});

test('a user without root builds as well, and an interrupted build of theirs leaves nothing', async (context) => {
  if (!isRoot) context.skip('the tests above were all run without root');
  const found = await execa('sh', ['-c', 'command -v newuidmap useradd userdel setpriv'], { reject: false });
  if (found.failed) context.skip('newuidmap or useradd is missing (nested-check doctor --for test)');
  const home = join(folder, 'home');
  await execa('useradd', ['--create-home', '--home-dir', home, USER]);
  try {
    if (!readFileSync('/etc/subuid', 'utf8').includes(USER)) context.skip('useradd gives no subordinate ids here');
    const user = ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups', 'env', `HOME=${home}`];
    const canRead = await execa(user[0] as string, [...user.slice(1), 'test', '-r', CLI], { reject: false });
    if (canRead.failed) context.skip('other users may not read this checkout');
    mkdirSync(join(folder, 'cache'));
    await execa('chown', [USER, join(folder, 'cache')]);
    const interrupted = build(TINY, user);
    await reached(interrupted, 'installing');
    interrupted.kill('SIGINT');
    expect((await interrupted).exitCode).toBe(130);
    expect(readdirSync(work)).toEqual([]);
    const killed = build(TINY, user);
    await reached(killed, 'installing');
    killed.kill('SIGKILL');
    await killed;
    const { exitCode, stderr } = await build(TINY, user);
    expect(stderr).toContain('built in');
    expect(exitCode).toBe(0);
    expect(readdirSync(work)).toEqual([]);
    expect(existsSync(join(cache, entries()[0] as string, 'manifest.json'))).toBe(true);
  } finally {
    await execa('userdel', ['--remove', USER], { reject: false });
  }
});
