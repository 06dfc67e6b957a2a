// The local host, for real: nested-check itself runs inside an emulated Debian 13, where /dev/kvm is real and
// qemu:///system is that machine's own libvirt. So L0 is that machine, and L1 and L2 are KVM guests of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmulatedHost } from '../../src/host/emulated.ts';
import type { HostUnderTest, Output } from '../../src/host/host.ts';
import { ensureImage } from '../../src/image/cache.ts';
import { Report } from '../../src/report/report.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RECIPE = join(ROOT, 'test/fixtures/images/debian-13-node');
const { signal } = new AbortController();

let folder: string;
let machine: HostUnderTest;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nested-check-local-'));
  const environment = { cwd: ROOT, env: process.env, stdout: process.stdout, stderr: process.stderr, signal };
  const image = await ensureImage(RECIPE, { environment, onProgress: (line) => process.stdout.write(`${line}\n`) });
  // The program as npm would install it, as a tar on a disk of its own.
  const tool = join(folder, 'tool');
  const [packed] = JSON.parse(
    (await execa('npm', ['pack', '--json', '--silent', '--pack-destination', folder], { cwd: ROOT })).stdout,
  );
  await execa('npm', [
    'install',
    '--no-audit',
    '--no-fund',
    '--silent',
    '--prefix',
    tool,
    join(folder, packed.filename),
  ]);
  await execa('tar', ['-C', tool, '-cf', join(folder, 'tool.tar'), 'node_modules']);
  const disks = [join(folder, 'tool.tar')];
  // TCG of QEMU 7.2 leaves garbage in the flags after cmpxchg16b, which kernel 6.12 uses and trips over.
  const cpu = 'max,-cx16';
  machine = await startEmulatedHost(
    { image, cpu, memoryMiB: 3584, vcpus: 1, folder, reason: 'test', bootSeconds: 300, disks },
    signal,
  );
  const ready = await sh(`
    flock -s /run/nested-check/starting true
    mkdir /opt/tool /run/image
    tar -C /opt/tool -xf /dev/vdb
    ln -s /boot/vmlinuz /run/image/vmlinuz
    ln -s /boot/initramfs.img /run/image/initramfs.img
    ln -s /dev/vda /run/image/root.erofs
  `);
  expect(ready).toMatchObject({ exitCode: 0 });
});

afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function sh(script: string): Promise<Output> {
  const exports = 'export HOME=/root PATH=/opt/tool/node_modules/.bin:/usr/sbin:/usr/bin:/sbin:/bin CI=1\n';
  return machine.exec({ argv: ['sh', '-s'], stdin: exports + script, timeoutMs: 900_000 }, signal);
}

/** What --host auto would take in the machine, and why. */
async function choice(): Promise<{ kind: string; reason: string }> {
  const { stdout, stderr } = await sh(`cat >/tmp/choose.mjs <<'END'
    import { chooseHost } from '/opt/tool/node_modules/nested-check/dist/host/choose.js';
    import { openImage } from '/opt/tool/node_modules/nested-check/dist/image/cache.js';
    const { signal } = new AbortController();
    const environment = { cwd: '/', env: process.env, stdout: process.stdout, stderr: process.stderr, signal };
    console.log(JSON.stringify(await chooseHost({ kind: 'auto' }, await openImage('/run/image'), environment)));
END
    node /tmp/choose.mjs`);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

test('auto takes the local host where a tiny guest really boots with KVM', async () => {
  expect(await choice()).toMatchObject({ kind: 'local' });
});

test('a /dev/kvm that opens and then can do nothing does not deceive auto', async () => {
  await sh('rm -rf /root/.local/state/nested-check; mv /dev/kvm /dev/kvm.real; mknod -m 666 /dev/kvm c 1 3');
  const chosen = await choice();
  await sh('rm -rf /root/.local/state/nested-check; mv -f /dev/kvm.real /dev/kvm');
  expect(chosen).toMatchObject({ kind: 'emulated' });
  expect(chosen.reason).toMatch(/KVM can't be used here/);
});

test('run --host local boots L1 and L2 with the machine’s own libvirt and KVM, and leaves nothing', async () => {
  const ran = await sh('nested-check run quick --host local --image /run/image --out /run/out');
  expect(ran.stderr).toBe('');
  expect(ran).toMatchObject({ exitCode: 0 });
  const report = Report.parse(JSON.parse((await sh('cat /run/out/run.json')).stdout));
  expect(report).toMatchObject({ verdict: 'pass', host: { kind: 'local', kvm: { usable: true, module: 'kvm_amd' } } });
  const [result] = report.cases;
  expect(
    result?.levels.map((level) => [
      level.level,
      level.accelerator,
      level.facts?.hypervisor,
      level.facts?.virtualization,
    ]),
  ).toEqual([
    [1, 'kvm', 'KVM', 'svm'],
    [2, 'kvm', 'KVM', 'svm'],
  ]);
  expect((await sh('virsh -q -c qemu:///system list --all --name; pgrep -c qemu-system')).stdout.trim()).toBe('0');
});

test('killed with SIGKILL it leaves a domain, which clean finds; a foreign one of a like name stays', async () => {
  await sh(`cat >/run/foreign.xml <<'END'
    <domain type='kvm'><name>nested-check-foreign-L1</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os></domain>
END
    virsh -q -c qemu:///system create /run/foreign.xml
    nested-check run quick --host local --depth 1 --image /run/image --out /run/killed >/dev/null 2>&1 &
    until virsh -q -c qemu:///system list --name | grep -q quick-L1; do sleep 0.2; done
    kill -KILL $!`);
  const cleaned = await sh('nested-check clean');
  expect(cleaned.stdout).toMatch(/^removed domain nested-check-[0-9a-f]{8}-quick-L1$/m);
  expect((await sh('virsh -q -c qemu:///system list --all --name')).stdout.trim()).toBe('nested-check-foreign-L1');
  await sh('virsh -q -c qemu:///system destroy nested-check-foreign-L1');
});
