// What is made of a QEMU that greets, hangs or aborts, with programs that only look like QEMU.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execaSync } from 'execa';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Environment } from '../../src/environment.ts';
import { checkKvm } from '../../src/host/kvm-check.ts';

const QEMU = fileURLToPath(new URL('../fixtures/qemu', import.meta.url));

let state: string;
beforeEach(() => {
  state = dirSync({ prefix: 'nested-check-test' }).name;
  writeFileSync(join(state, 'cpuinfo'), 'model name\t: Test CPU\nflags\t\t: fpu svm\n');
});
afterEach(() => rmSync(state, { recursive: true }));

function check(qemu: 'greets' | 'hangs' | 'aborts', signal = new AbortController().signal) {
  const { stdout, stderr } = process;
  const env = { PATH: `${join(QEMU, qemu)}:${process.env['PATH']}`, XDG_STATE_HOME: state };
  const environment: Environment = { cwd: '/', env, stdout, stderr, signal };
  const image = {
    name: 'x',
    recipeDigest: null,
    imageDigest: null,
    folder: state,
    kernel: 'k',
    initramfs: 'i',
    root: 'r',
    manifest: null,
  };
  // any file that opens for reading and writing stands for /dev/kvm
  return checkKvm({
    image,
    environment,
    deadlineMs: 500,
    cpuinfo: join(state, 'cpuinfo'),
    device: join(state, 'cpuinfo'),
  });
}

const running = (seconds: string) => execaSync('pgrep', ['-f', `^sleep ${seconds}$`], { reject: false }).stdout;

test('a guest that greets: usable, remembered, and QEMU is gone', async () => {
  const first = await check('greets');
  expect(first).toEqual({ usable: true, reason: expect.stringMatching(/^a guest booted with KVM in 0\.\d s$/) });
  expect(running('1000.25')).toBe('');
  const second = await check('greets');
  expect(second.reason).toMatch(/^a guest booted .* \(tried on \d{4}-\d\d-\d\d; .*kvm-check\.json remembers it\)$/);
  // another QEMU is another question
  expect((await check('aborts')).usable).toBe(false);
});

test('a guest that hangs: given up at the deadline, with its last words, and QEMU is gone', async () => {
  const answer = await check('hangs');
  expect(answer).toEqual({
    usable: false,
    reason: 'a guest did not boot with KVM within 0.5 s; its last words: SeaBIOS (version 1)',
  });
  expect(running('1000.5')).toBe('');
});

test('a QEMU that aborts: its own words', async () => {
  expect((await check('aborts')).reason).toMatch(/^QEMU ended with SIGABRT before .* kvm_buf_set_msrs: Assertion/);
});

test('a refusal is asked again after a day; a damaged memory counts as none', async () => {
  await check('aborts');
  const file = join(state, 'nested-check/kvm-check.json');
  const memory = JSON.parse(readFileSync(file, 'utf8'));
  const key = Object.keys(memory)[0] as string;
  expect(key).toContain('QEMU emulator version 9.9.9 (aborts) | Test CPU');
  writeFileSync(file, JSON.stringify({ [key]: { ...memory[key], at: Date.now() - 25 * 3600 * 1000 } }));
  expect((await check('aborts')).reason).not.toContain('remembers');
  for (const text of ['{"', '[]', '{"a": 1}', '']) {
    writeFileSync(file, text);
    expect((await check('aborts')).reason).not.toContain('remembers');
  }
});

test('interrupted: no answer is remembered, and QEMU is gone', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 200);
  await expect(check('hangs', controller.signal)).rejects.toMatchObject({ code: 'interrupted' });
  expect(running('1000.5')).toBe('');
  expect((await check('hangs')).reason).not.toContain('remembers');
});
