// What libvirt's XML, QMP and /proc say of a running domain.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readLive } from '../../src/domain/live.ts';

const XML = `<domain type='kvm' id='1'>
  <name>nested-check-a-L1</name>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <kernel>/boot/vmlinuz</kernel>
  </os>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>EPYC</model>
    <feature policy='disable' name='svm'/>
  </cpu>
  <clock offset='utc'/>
</domain>`;

/** What one virsh prints for both: the XML, and after it QEMU's answer. */
const live = ({ xml = '', 'query-kvm': answer = '', ...found }: Record<string, string>) => {
  const whole = xml === '' || xml.endsWith('</domain>') ? xml : `${xml}</domain>`;
  return readLive(new Map(Object.entries({ ...found, virsh: `${whole}\n\n${answer}\n` })));
};

test('a domain as it should be', () => {
  const found = {
    xml: XML,
    'query-kvm': '{"return":{"enabled":true,"present":true},"id":"libvirt-12"}',
    argv: 'qemu-system-x86_64\0-name\0guest=a\0-cpu\0host,migratable=on\0-m\x00320\0',
    console: 'Linux version 6.1\n',
    log: 'qemu-system-x86_64: warning\n',
  };
  expect(live(found)).toEqual({
    xml: XML,
    cpuXml: /<cpu [\s\S]*<\/cpu>/.exec(XML)?.[0],
    machine: 'pc-q35-7.2',
    argv: ['qemu-system-x86_64', '-name', 'guest=a', '-cpu', 'host,migratable=on', '-m', '320'],
    cpuArguments: ['host,migratable=on'],
    console: 'Linux version 6.1\n',
    log: 'qemu-system-x86_64: warning\n',
    accelerator: 'kvm',
  });
});

test('nothing found is null everywhere, never a guess', () => {
  const nothing = {
    xml: null,
    cpuXml: null,
    machine: null,
    argv: null,
    cpuArguments: [],
    console: null,
    log: null,
    accelerator: null,
  };
  expect(live({})).toEqual(nothing);
  expect(live({ xml: '', 'query-kvm': '', argv: '' })).toEqual(nothing);
  expect(live({ console: '' }).console).toBe('');
});

describe('the <cpu> element', () => {
  test.each([
    ['empty, with one quote', `<domain><cpu mode="host-model"/></domain>`, '<cpu mode="host-model"/>'],
    ['without attributes', '<cpu><topology/></cpu>', '<cpu><topology/></cpu>'],
    ['over lines', "<cpu mode='a'\n check='b'/>", "<cpu mode='a'\n check='b'/>"],
    ['not <cputune>, which comes before', "<cputune><shares>1</shares></cputune><cpu mode='x'/>", "<cpu mode='x'/>"],
    ['an empty one does not swallow what follows', "<cpu mode='x'/><a/><!-- </cpu> -->", "<cpu mode='x'/>"],
  ])('%s', (_, xml, expected) => {
    expect(live({ xml }).cpuXml).toBe(expected);
  });

  test('is null for mode none', () => {
    expect(live({ xml: '<domain><cputune/><vcpu>1</vcpu></domain>' }).cpuXml).toBeNull();
  });
});

describe("QEMU's word", () => {
  test.each([
    ['{"return":{"enabled":true,"present":true}}', 'kvm'],
    ['{"return": {"present": true, "enabled": false}}', 'tcg'],
    ['error: Requested operation is not valid: domain is not running', null],
    ['{"id":"libvirt-9","error":{"class":"CommandNotFound","desc":"query-kvm"}}', null],
  ])('%s: %s', (text, accelerator) => {
    expect(live({ 'query-kvm': text }).accelerator).toBe(accelerator);
  });
});

test('several -cpu arguments are all kept, in order', () => {
  expect(live({ argv: 'q\0-cpu\0host\0-smp\x001\0-cpu\0EPYC\0' }).cpuArguments).toEqual(['host', 'EPYC']);
});

test('an argument may be anything, and an empty one shifts none of the others', () => {
  expect(live({ argv: 'q\0-append\0\0-cpu\0host\0' }).cpuArguments).toEqual(['host']);
  expect(live({ argv: 'q\0-append\0a "b"\nc\0' }).argv).toEqual(['q', '-append', 'a "b"\nc']);
});

test('hostile text never throws and takes no long time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (xml, argv) => {
      live({ xml, argv, 'query-kvm': xml, console: argv });
    }),
  );
  const started = performance.now();
  live({ xml: '<cpu '.repeat(20_000), 'query-kvm': '"enabled":'.repeat(100_000) });
  live({ xml: '<type '.repeat(20_000) });
  expect(performance.now() - started).toBeLessThan(1000);
});
