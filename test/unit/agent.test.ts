// Ways to a guest: the agent's protocol over a socket, and the scripts on a parent that hand commands on and start
// guests, really run by sh with a virsh that only looks like one.
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { dirSync } from 'tmp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { NestedCheckError } from '../../src/errors.ts';
import { type Agent, greetAgent } from '../../src/host/agent.ts';
import { execInGuest } from '../../src/host/courier.ts';
import { startGuest } from '../../src/host/guest.ts';
import type { Command, Host } from '../../src/host/host.ts';
import { execLocal } from '../../src/host/local.ts';

// Programs are started here, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 });

const VIRSH = fileURLToPath(new URL('../fixtures/virsh', import.meta.url));
const never = new AbortController().signal;

let folder: string;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What a promise is rejected with. */
async function failure(promise: Promise<unknown>): Promise<NestedCheckError> {
  return promise.then(
    (value) => {
      throw new Error(`resolved with ${JSON.stringify(value)}`);
    },
    (error: NestedCheckError) => error,
  );
}

/** A promise that must settle soon. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  try {
    return await Promise.race([
      promise,
      sleep(ms, undefined, { signal: late.signal }).then((): never => {
        throw new Error(`not settled after ${ms} ms`);
      }),
    ]);
  } finally {
    late.abort();
  }
}

describe('an agent over a socket', () => {
  type Request = { execute: string; arguments: Record<string, unknown> };
  let server: Server;
  let ours: Socket;
  /** The agent's end of the socket, and all that we wrote to it. */
  let theirs: Socket;
  let heard: Buffer;

  beforeEach(async () => {
    heard = Buffer.alloc(0);
    server = createServer().listen(join(folder, 'agent'));
    await once(server, 'listening');
    const connection = once(server, 'connection');
    ours = createConnection(join(folder, 'agent'));
    [theirs] = (await connection) as [Socket];
    theirs.on('error', () => {});
  });
  afterEach(() => {
    ours.destroy();
    theirs.destroy();
    server.close();
  });

  /** Answers each request with a line (or what else is to be written), or not at all. */
  function answer(how: (request: Request, count: number) => unknown): void {
    let count = 0;
    let text = '';
    theirs.on('data', (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      text += chunk.toString('latin1').replaceAll('\xff', '');
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const request = JSON.parse(text.slice(0, end)) as Request;
        text = text.slice(end + 1);
        if (request.execute === 'guest-sync-delimited') {
          theirs.write(Buffer.from([0xff]));
          theirs.write(`{"return": ${request.arguments['id']}}\n`);
          continue;
        }
        const what = how(request, count++);
        if (typeof what === 'string' || Buffer.isBuffer(what)) theirs.write(what);
        else if (what !== undefined) theirs.write(`${JSON.stringify(what)}\n`);
      }
    });
  }
  const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64');
  const ended = (out: string | Buffer = '', exitcode = 0) => ({
    return: { exited: true, exitcode, 'out-data': base64(out), 'err-data': base64('') },
  });
  const command: Command = { argv: ['sh', '-c', 'true'], timeoutMs: 10_000 };
  /** Greets an agent that answers guest-exec with a pid and guest-exec-status as said. */
  async function greeted(status: (count: number) => unknown = () => ended()): Promise<Agent> {
    let polls = 0;
    answer(({ execute }) => (execute === 'guest-exec' ? { return: { pid: 7 } } : status(polls++)));
    return greetAgent(ours, never);
  }

  test('greets with 0xff and a delimited sync, as one message', async () => {
    await greeted();
    expect(heard[0]).toBe(0xff);
    expect(JSON.parse(heard.subarray(1).toString())).toEqual({
      execute: 'guest-sync-delimited',
      arguments: { id: expect.any(Number) },
    });
  });

  test('passes over what was meant for somebody before us', async () => {
    theirs.write(
      '"return": {"pid": 3}}\n{"return": 12}\n{"error": {"class": "GenericError", "desc": "bad \\"id\\""}}\n\n',
    );
    theirs.write(Buffer.from([0x80, 0xff, 0x0a]));
    const agent = await within(
      2000,
      greeted(() => ended('mine')),
    );
    expect((await agent.exec(command, never)).stdout).toBe('mine');
  });

  test('waits for an agent that is not there yet, and gives up when told to', async () => {
    const controller = new AbortController();
    const greeting = greetAgent(ours, controller.signal);
    await expect(Promise.race([greeting, sleep(100, 'waiting')])).resolves.toBe('waiting');
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await failure(within(1000, greeting))).toBe(reason);
    const closed = once(theirs, 'close');
    theirs.resume();
    await within(1000, closed);
  });

  test('a socket that ends before the greeting is answered', async () => {
    const greeting = greetAgent(ours, never);
    theirs.destroy();
    expect(await failure(within(1000, greeting))).toMatchObject({ code: 'agent' });
  });

  test('runs a command: argv and standard input go as they are, output comes back', async () => {
    const asked: Request[] = [];
    answer((request, count) => {
      asked.push(request);
      if (count === 0) return { return: { pid: 42 } };
      if (count < 4) return { return: { exited: false } };
      return { return: { exited: true, exitcode: 3, 'out-data': base64('out\n'), 'err-data': base64('err') } };
    });
    const agent = await greetAgent(ours, never);
    const argv = ['printf', '%s', `a'b"c $(d)\n\0`] as const;
    const output = await agent.exec({ argv: [...argv], stdin: 'in ä\n', timeoutMs: 5000 }, never);
    expect(output).toEqual({ exitCode: 3, stdout: 'out\n', stderr: 'err' });
    expect(asked[0]).toEqual({
      execute: 'guest-exec',
      arguments: {
        path: 'printf',
        arg: ['%s', `a'b"c $(d)\n\0`],
        'capture-output': true,
        'input-data': base64('in ä\n'),
      },
    });
    expect(asked.slice(1)).toEqual(Array(4).fill({ execute: 'guest-exec-status', arguments: { pid: 42 } }));
  });

  test('a command that a signal ended has no exit code', async () => {
    const agent = await greeted(() => ({ return: { exited: true, signal: 9 } }));
    expect(await agent.exec(command, never)).toEqual({ exitCode: null, stdout: '', stderr: '' });
  });

  test('output that is no UTF-8 is no error', async () => {
    const agent = await greeted(() => ended(Buffer.from([0x61, 0xff, 0xfe, 0x00])));
    expect((await agent.exec(command, never)).stdout).toBe('a\ufffd\ufffd\0');
  });

  test('a reply in many pieces, and a long one', async () => {
    const long = Buffer.alloc(3_000_000, 'x');
    const agent = await greeted((count) => {
      if (count > 0) return ended(long);
      const text = `${JSON.stringify({ return: { exited: false } })}\n`;
      void (async () => {
        for (const character of text) {
          theirs.write(character);
          await sleep(1);
        }
      })();
      return undefined;
    });
    expect((await agent.exec(command, never)).stdout).toHaveLength(3_000_000);
  });

  test('commands side by side do not mix their replies', async () => {
    let pids = 0;
    answer((request) =>
      request.execute === 'guest-exec' ? { return: { pid: ++pids } } : ended(String(request.arguments['pid'])),
    );
    const agent = await greetAgent(ours, never);
    const outputs = await Promise.all(Array.from({ length: 8 }, () => agent.exec(command, never)));
    expect(new Set(outputs.map(({ stdout }) => stdout)).size).toBe(8);
  });

  test.each([
    [
      'a refusal',
      { error: { class: 'CommandNotFound', desc: 'guest-exec has been disabled' } },
      /refused: guest-exec has/,
    ],
    ['half a reply on a line', '{"return": {"exited": tr\n', /not JSON/],
    ['no JSON', 'Segmentation fault\n', /not JSON/],
    ['an empty line', '\n', /not JSON/],
    ['JSON of another shape', { event: 'RESET' }, /unexpected/],
    ['another type', [], /unexpected/],
    ['a status without exited', { return: {} }, /unexpected/],
    ['output that is no base64', { return: { exited: true, exitcode: 0, 'out-data': '%%%' } }, /unexpected/],
    ['an exit code that is no number', { return: { exited: true, exitcode: '0' } }, /unexpected/],
  ])('%s is an error of the agent, and the next command works', async (_, reply, message) => {
    const agent = await greeted((count) => (count === 0 ? reply : ended('next')));
    const error = await failure(within(2000, agent.exec(command, never)));
    expect(error).toMatchObject({ code: 'agent', message: expect.stringMatching(message) });
    expect((await within(2000, agent.exec(command, never))).stdout).toBe('next');
  });

  test('a pid that is none', async () => {
    answer(() => ({ return: { pid: 'x' } }));
    const agent = await greetAgent(ours, never);
    expect(await failure(agent.exec(command, never))).toMatchObject({ code: 'agent' });
  });

  test('a line without end is cut off', async () => {
    const agent = await greeted(() => {
      const piece = Buffer.alloc(1 << 20, 'a');
      const more = (): void => {
        while (!theirs.destroyed && theirs.write(piece));
      };
      theirs.on('drain', more);
      more();
      return undefined;
    });
    const error = await failure(within(10_000, agent.exec(command, never)));
    expect(error).toMatchObject({ code: 'agent', message: expect.stringContaining('without end') });
  });

  test.each([
    ['while a command runs', () => void theirs.destroy()],
    ['in the middle of a reply', () => void theirs.end('{"return": {"exi')],
  ])('an agent that goes away %s: known at once, then and later', async (_, leave) => {
    const agent = await greeted(() => leave());
    expect(await failure(within(1000, agent.exec(command, never)))).toMatchObject({ code: 'agent' });
    expect(await failure(within(1000, agent.exec(command, never)))).toMatchObject({ code: 'agent' });
  });

  test('an abort ends a wait, with its reason', async () => {
    const agent = await greeted(() => ({ return: { exited: false } }));
    const controller = new AbortController();
    const running = failure(within(1000, agent.exec(command, controller.signal)));
    await sleep(50);
    const reason = new Error('stopped');
    controller.abort(reason);
    expect(await running).toBe(reason);
  });

  test('an abort ends the wait for an agent that has gone silent', async () => {
    const agent = await greeted(() => undefined);
    const controller = new AbortController();
    const running = failure(within(1000, agent.exec(command, controller.signal)));
    await sleep(50);
    const reason = new Error('stopped');
    controller.abort(reason);
    expect(await running).toBe(reason);
  });

  test('a signal that is aborted already runs nothing for long', async () => {
    const agent = await greeted(() => undefined);
    const reason = new Error('stopped');
    expect(await failure(within(1000, agent.exec(command, AbortSignal.abort(reason))))).toBe(reason);
  });

  test.each([
    ['a command that goes on and on', () => ({ return: { exited: false } })],
    ['an agent that has gone silent', () => undefined],
  ])('the deadline holds for %s', async (_, status) => {
    const agent = await greeted(status);
    const error = await failure(within(2000, agent.exec({ ...command, timeoutMs: 100 }, never)));
    expect(error).toMatchObject({ code: 'timeout', message: expect.stringContaining('0.1 s') });
  });

  test('a late reply to a command that was given up is not taken for the next one', async () => {
    let pids = 0;
    answer(({ execute, arguments: parameters }) => {
      if (execute === 'guest-exec') return { return: { pid: ++pids } };
      if (parameters['pid'] !== 1) return ended('second');
      setTimeout(() => theirs.write(`${JSON.stringify(ended('first'))}\n`), 300);
      return undefined;
    });
    const agent = await greetAgent(ours, never);
    expect(await failure(agent.exec({ ...command, timeoutMs: 100 }, never))).toMatchObject({ code: 'timeout' });
    expect((await within(3000, agent.exec(command, never))).stdout).toBe('second');
  });

  test('close ends the connection', async () => {
    const agent = await greeted();
    const closed = once(theirs, 'close');
    theirs.resume();
    agent.close();
    await within(1000, closed);
  });
});

/** A parent at level 0 that really runs its commands here, with the fake virsh first on the path. */
function parentHere(): Host {
  return {
    level: 0,
    libvirtUri: 'qemu:///system',
    bootFiles: { kernel: '/boot/vmlinuz', initramfs: '/boot/initramfs.img', root: '/dev/vda', rootType: 'block' },
    consoleFolder: folder,
    exec: execLocal,
  };
}

const path = process.env['PATH'];
beforeAll(() => {
  process.env['PATH'] = `${VIRSH}:${path}`;
});
afterAll(() => {
  process.env['PATH'] = path;
  process.env['FAKE_VIRSH'] = undefined;
});
beforeEach(() => {
  process.env['FAKE_VIRSH'] = folder;
});
const tell = (file: string, text: string) => writeFileSync(join(folder, file), text);
const lines = (file: string) => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n');

describe('the courier', () => {
  const deliver = (argv: Command['argv'], rest: Partial<Command> = {}, signal = never) =>
    execInGuest(parentHere(), 'L1-domain', { argv, timeoutMs: 20_000, ...rest }, signal);
  const script = (text: string): Command['argv'] => ['sh', '-c', text];

  test('brings a command down and its output back', async () => {
    const output = await deliver(script('cat; echo "$0" >&2; exit 5'), { stdin: 'in ä\n' });
    expect(output).toEqual({ exitCode: 5, stdout: 'in ä\n', stderr: 'sh\n' });
    expect(lines('calls')[0]).toMatch(/^-q -c qemu:\/\/\/system qemu-agent-command L1-domain \{/);
  });

  test('quotes nothing: any words arrive as they are', async () => {
    const words = [`a'b"c`, '$(id)', '`id`', 'a\\nb', 'x\ny', '*', '', '--', '"pid":99', '"exited":true', 'ä 大'];
    const { stdout } = await deliver(['printf', '<%s>', ...words]);
    expect(stdout).toBe(words.map((word) => `<${word}>`).join(''));
  });

  test('asks until the command has ended', async () => {
    tell('polls', '4');
    const { stdout } = await deliver(['echo', '"exited":true']);
    expect(stdout).toBe('"exited":true\n');
    const asked = lines('requests').map((line) => JSON.parse(line).request.execute);
    expect(asked).toEqual(['guest-exec', ...Array(5).fill('guest-exec-status')]);
  });

  test('much output, and output that is no text', async () => {
    const { stdout } = await deliver(script('head -c 300000 /dev/zero'));
    expect(stdout).toBe('\0'.repeat(300_000));
    expect((await deliver(script(String.raw`printf '\377\376'`))).stdout).toBe('\ufffd\ufffd');
  });

  test('a command that a signal ended has no exit code', async () => {
    expect((await deliver(script('kill -9 $$'))).exitCode).toBeNull();
  });

  test.each([
    ['no such program', 'return undefined', ['/no/such/program'], /out of reach: .*ENOENT/],
    ['no agent', 'return 1', ['true'], /out of reach/],
    ['an agent that goes away', 'return execute === "guest-exec" ? undefined : 1', ['true'], /out of reach/],
    ['a reply without a pid', 'return "{}"', ['true'], /out of reach|unexpected/],
    [
      'a status that is no JSON',
      'return execute === "guest-exec" ? undefined : `"exited":true`',
      ['true'],
      /unexpected/,
    ],
    [
      'a status of another shape',
      'return execute === "guest-exec" ? undefined : `{"return":{"exited":true,"exitcode":"x"}}`',
      ['true'],
      /unexpected/,
    ],
  ] as const)('%s is an error of the agent, with its level', async (_, body, argv, message) => {
    tell('answer.mjs', `export function answer(domain, { execute }) { ${body}; }`);
    const error = await failure(deliver([argv[0]]));
    expect(error).toMatchObject({ code: 'agent', message: expect.stringMatching(message) });
    expect(error.message).toMatch(/^L1: /);
  });

  test("a parent that breaks is told with the parent's words", async () => {
    const parent: Host = {
      ...parentHere(),
      level: 2,
      exec: async () => ({ exitCode: 127, stdout: '', stderr: 'sh: virsh: not found\n' }),
    };
    const error = await failure(execInGuest(parent, 'd', { argv: ['true'], timeoutMs: 1000 }, never));
    expect(error).toMatchObject({ code: 'agent', message: 'L3: the way in broke: sh: virsh: not found' });
  });

  test('an abort and a deadline end the wait, and leave no process', async () => {
    tell('polls', '1000000');
    const controller = new AbortController();
    const reason = new Error('stopped');
    setTimeout(() => controller.abort(reason), 300);
    expect(await failure(within(5000, deliver(['true'], {}, controller.signal)))).toBe(reason);
    expect(await failure(within(5000, deliver(['true'], { timeoutMs: 300 })))).toMatchObject({ code: 'timeout' });
    await sleep(200);
    const before = lines('requests').length;
    await sleep(1000);
    expect(lines('requests')).toHaveLength(before);
  });

  describe('nested', () => {
    const guestOf = (parent: Host, domain: string): Host => ({
      ...parent,
      level: parent.level + 1,
      exec: (command, signal) => execInGuest(parent, domain, command, signal),
    });
    const chain = () => guestOf(guestOf(guestOf(parentHere(), 'first'), 'second'), 'third');

    test('reaches the third level, and asks each level the same', async () => {
      const words = [`a'b"c`, '$(id)', 'x\ny'];
      const output = await chain().exec(
        { argv: ['sh', '-c', 'cat; printf "<%s>" "$@"; exit 9', 'sh', ...words], stdin: 'deep ', timeoutMs: 30_000 },
        never,
      );
      expect(output).toEqual({ exitCode: 9, stdout: `deep ${words.map((word) => `<${word}>`).join('')}`, stderr: '' });
      const asked = lines('requests').map((line) => JSON.parse(line));
      const commands = asked.filter(({ request }) => request.execute === 'guest-exec');
      expect(commands.map(({ domain }) => domain)).toEqual(['first', 'second', 'third']);
      // one request and, as everything ends before it is asked about, one look at each level
      expect(asked).toHaveLength(6);
    });

    test('tells which level would not answer', async () => {
      tell('answer.mjs', 'export function answer(domain) { if (domain === "second") return 1; }');
      const error = await failure(chain().exec({ argv: ['true'], timeoutMs: 30_000 }, never));
      expect(error).toMatchObject({
        code: 'agent',
        message: expect.stringMatching(/^L2: the guest agent is out of reach/),
      });
    });
  });
});

describe('starting a guest', () => {
  const lease = { run: 'r', case: 'c', level: 1, pid: 1, startTime: '1' };
  const plan = {
    level: 1,
    cpu: { mode: 'host-passthrough' },
    vcpus: 1,
    memoryMiB: 320,
    machine: 'q35',
    isHost: false,
    required: true,
    expect: {},
  } as const;
  const name = 'nested-check-r-c-L1';
  const given: string[] = [];
  const start = (bootSeconds = 20, signal = never) =>
    startGuest(
      parentHere(),
      { name, accelerator: 'kvm', plan, lease, kernelWords: [] },
      bootSeconds,
      signal,
      async (xml) => {
        given.push(xml);
      },
    );
  const agentEvent = (state: string, reason = 'channel event') =>
    `echo "event 'agent-lifecycle' for domain '$domain': state: '${state}' reason: '${reason}'"`;
  const lifecycle = (what: string) => `echo "event 'lifecycle' for domain '$domain': ${what}"`;
  /** Whoever listened for events is gone, and so are the script's files. */
  async function expectNothingLeft(): Promise<void> {
    await expect.poll(() => existsSync(join(folder, 'listening')), { timeout: 3000 }).toBe(false);
    expect(readdirSync(join(folder, 'temporary'))).toEqual([]);
  }
  /** Events, then silence until somebody ends the listener. */
  const events = (...said: string[]) =>
    tell(
      'events',
      ['touch listening', "trap 'rm -f listening; exit 1' TERM", ...said, 'sleep 30 & wait', 'rm -f listening'].join(
        '\n',
      ),
    );
  const temporary = process.env['TMPDIR'];
  beforeEach(async () => {
    await execLocal({ argv: ['mkdir', join(folder, 'temporary')], timeoutMs: 5000 }, never);
    process.env['TMPDIR'] = join(folder, 'temporary');
    given.length = 0;
  });
  afterEach(() => {
    if (temporary === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = temporary;
  });

  test('the agent connects: a guest, one level deeper', async () => {
    events(lifecycle('Started Booted'), lifecycle('Resumed Unpaused'), 'sleep 0.3', agentEvent('connected'));
    const guest = await within(10_000, start());
    expect(guest).toMatchObject({
      level: 1,
      domain: name,
      libvirtUri: 'qemu:///system',
      bootFiles: { root: '/dev/vda' },
    });
    expect(guest.bootMs).toBeGreaterThanOrEqual(290);
    expect(guest.bootMs).toBeLessThan(10_000);
    // libvirt got what the caller was given
    expect(given).toEqual([readFileSync(join(folder, 'created.xml'), 'utf8')]);
    expect(lines('calls')[0]).toContain(`; event --domain ${name} --all --loop --timeout 20`);
    await expectNothingLeft();
    const { stdout } = await guest.exec({ argv: ['echo', 'inside'], timeoutMs: 10_000 }, never);
    expect(stdout).toBe('inside\n');
  });

  test('an agent that is not yet there is waited for', async () => {
    events(agentEvent('disconnected', 'domain started'), 'sleep 0.2', agentEvent('connected'));
    await within(10_000, start());
    await expectNothingLeft();
  });

  test("libvirt's refusal, in its own words, and nothing is waited for", async () => {
    tell('refusal', 'error: Failed to create domain\nerror: internal error: Unknown CPU model NoSuchModel\n');
    const error = await failure(within(10_000, start()));
    expect(error).toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^L1: libvirt would not start the guest: [\s\S]*Unknown CPU model NoSuchModel$/),
    });
    expect(lines('calls')).toHaveLength(1);
    expect(readdirSync(join(folder, 'temporary'))).toEqual([]);
  });

  test.each([
    ['stops', lifecycle('Stopped Failed')],
    ['is destroyed', lifecycle('Stopped Destroyed')],
    ['crashes', lifecycle('Crashed Panicked')],
    ['is gone before anybody listens', `echo "error: failed to get domain '$domain'" >&2; exit 1`],
  ])('a guest that %s: known at once, with the end of its console', async (_, event) => {
    writeFileSync(join(folder, `${name}.console`), `${'.'.repeat(5000)}Kernel panic - not syncing\n`);
    events(lifecycle('Started Booted'), event);
    const error = await failure(within(5000, start()));
    expect(error).toMatchObject({
      code: 'died',
      message: expect.stringMatching(/^L1: .*[\s\S]*Kernel panic - not syncing$/),
    });
    expect(error.message.length).toBeLessThan(2000);
    if (!event.includes('exit')) await expectNothingLeft();
  });

  describe('a guest that stays silent', () => {
    // as virsh does when its --timeout has passed
    const timedOut = () => tell('events', "sleep 0.5; echo 'event loop timed out'; echo 'events received: 0'; exit 1");

    test('and stands still: hung', async () => {
      writeFileSync(join(folder, `${name}.console`), 'last words\n');
      timedOut();
      tell('registers', 'echo RIP=ffffffff81000000 RFL=00000246');
      const error = await failure(within(20_000, start(1)));
      expect(error).toMatchObject({
        code: 'hung',
        message: expect.stringMatching(/^L1: .*silent for 1 s; .*same address/),
      });
      expect(error.message).toMatch(/last words$/);
    });

    test('and works on: timeout, with a hint', async () => {
      timedOut();
      tell('registers', 'echo RIP=$(od -An -N8 -tx8 /dev/urandom | tr -d " ") RFL=00000246');
      const error = await failure(within(20_000, start(1)));
      expect(error).toMatchObject({ code: 'timeout', message: expect.stringMatching(/was at 8 addresses in 8 looks/) });
      expect(error.message).toMatch(/its console is empty$/);
      expect(error.hint).toContain('boot');
    });

    test('and can not be looked at: timeout', async () => {
      writeFileSync(join(folder, `${name}.console`), '7 bottles\n');
      timedOut();
      const error = await failure(within(20_000, start(1)));
      expect(error).toMatchObject({
        code: 'timeout',
        message: expect.stringMatching(/could not be looked at.*7 bottles$/s),
      });
    });
  });

  test('an abort ends the wait, the listener and the script, which leaves no files', async () => {
    events(lifecycle('Started Booted'));
    const controller = new AbortController();
    const reason = new Error('stopped');
    const starting = failure(within(5000, start(20, controller.signal)));
    await expect.poll(() => existsSync(join(folder, 'listening')), { timeout: 5000 }).toBe(true);
    controller.abort(reason);
    expect(await starting).toBe(reason);
    await expectNothingLeft();
  });
});
