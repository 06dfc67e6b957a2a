// The KVM check with real QEMUs and the real image.
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Environment } from '../../src/environment.ts';
import { checkKvm, type KvmCheckOptions } from '../../src/host/kvm-check.ts';
import { ensureImage } from '../../src/image/cache.ts';

let folder: string;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterEach(() => rmSync(folder, { recursive: true }));

/** @param wrapper a script that stands before the real QEMU; null: QEMU itself */
async function check(wrapper: string | null, options: Partial<KvmCheckOptions>) {
  const path = process.env['PATH'] ?? '';
  if (wrapper !== null) {
    const real = (await execa('sh', ['-c', 'command -v qemu-system-x86_64'])).stdout;
    writeFileSync(join(folder, 'qemu-system-x86_64'), wrapper.replaceAll('QEMU', real));
    chmodSync(join(folder, 'qemu-system-x86_64'), 0o755);
  }
  const { stdout, stderr } = process;
  const env = { ...process.env, PATH: wrapper === null ? path : `${folder}:${path}`, XDG_STATE_HOME: folder };
  const environment: Environment = { cwd: '/', env, stdout, stderr, signal: new AbortController().signal };
  const image = await ensureImage('debian-12', { environment, onProgress: (line) => void stderr.write(`${line}\n`) });
  const answer = await checkKvm({ image, environment, ignoreFlags: true, ...options });
  const left = await execa('pgrep', ['-f', `initrd ${image.initramfs}.*nested_check.hello=1`], { reject: false });
  expect(left.stdout).toBe('');
  return answer;
}

test('the image greets: with TCG in place of KVM, the nearest to a machine whose KVM works', async () => {
  // only the two words after -accel and -cpu change
  const wrapper = `#!/bin/sh
for word do
  shift
  case $word in kvm) word=tcg ;; host) word=max ;; esac
  set -- "$@" "$word"
done
exec QEMU "$@"
`;
  const answer = await check(wrapper, { deadlineMs: 60_000 });
  expect(answer).toEqual({ usable: true, reason: expect.stringMatching(/^a guest booted with KVM in \d+\.\d s$/) });
});

test('a guest that never starts is given up at the deadline', async () => {
  const wrapper =
    '#!/bin/sh\n[ "$1" = --version ] && exec QEMU --version\nexec QEMU -accel tcg -nodefaults -display none -S\n';
  const answer = await check(wrapper, { deadlineMs: 2000 });
  expect(answer).toEqual({ usable: false, reason: 'a guest did not boot with KVM within 2 s' });
});

test('a /dev/kvm that opens on a CPU without vmx or svm does run no guest', async (context) => {
  if (/^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))) context.skip('this CPU has vmx or svm');
  const byFlags = await check(null, { ignoreFlags: false });
  expect(byFlags).toMatchObject({ usable: false, reason: expect.stringMatching(/^the CPU has neither vmx nor svm/) });
  const byTrying = await check(null, { deadlineMs: 10_000 });
  expect(byTrying).toMatchObject({
    usable: false,
    reason: expect.stringMatching(/^(QEMU ended with|a guest did not boot)/),
  });
});
