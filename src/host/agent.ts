// QEMU guest agent: its JSON protocol over a unix socket, for the host that we emulate ourselves.
// Deeper levels are reached through libvirt instead (courier.ts), with the same guest-exec.
// Source: https://qemu-project.gitlab.io/qemu/interop/qemu-ga-ref.html
import { randomInt } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { NestedCheckError } from '../errors.ts';
import type { Command, Output } from './host.ts';

/** Longest reply that we read, in bytes: the agent captures 16 MiB of output, and base64 adds a third. */
const MAX_REPLY = 24 * 1024 * 1024;
/** Lines that nobody asked for. */
const MAX_UNASKED = 1000;

const Reply = z.union([
  z.object({ return: z.unknown() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }) }),
]);
const ExecReply = z.object({ pid: z.int() });

/** What guest-exec-status says of a command that has ended. */
export const ExecStatus = z.object({
  exited: z.boolean(),
  exitcode: z.int().optional(),
  signal: z.int().optional(),
  'out-data': z.base64().optional(),
  'err-data': z.base64().optional(),
});

export interface Agent {
  /** Runs a command and waits for its end. Throws NestedCheckError `agent`, `timeout`, `interrupted`. */
  exec(command: Command, signal: AbortSignal): Promise<Output>;
  close(): void;
}

/** Arguments of guest-exec for a command. */
export function execArguments(command: Command): Record<string, unknown> {
  const [path, ...arg] = command.argv;
  return {
    path,
    arg,
    'capture-output': true,
    ...(command.stdin === undefined ? {} : { 'input-data': Buffer.from(command.stdin).toString('base64') }),
  };
}

/** Result of a command from the reply of guest-exec-status. Hostile input: bad UTF-8 is replaced. */
export function outputOf(status: z.infer<typeof ExecStatus>): Output {
  const text = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString('utf8');
  return { exitCode: status.exitcode ?? null, stdout: text(status['out-data']), stderr: text(status['err-data']) };
}

/**
 * Greets the agent at the other end of a socket and waits until it answers, as long as it takes: QEMU keeps our
 * greeting until the guest opens its end, so nothing is polled. Ends early, with its reason, when `signal` aborts.
 */
export async function greetAgent(socket: Duplex, signal: AbortSignal): Promise<Agent> {
  const lines = lineReader(socket);
  const abort = (): void => void socket.destroy(asError(signal.reason));
  signal.addEventListener('abort', abort, { once: true });
  try {
    const id = randomInt(1, 2 ** 31);
    // 0xff makes the agent forget half a message of somebody before us (guest-sync-delimited).
    socket.write(Buffer.concat([Buffer.from([0xff]), message('guest-sync-delimited', { id })]));
    // Whatever comes before our own id is about somebody's older messages, or about the 0xff.
    const answer = new RegExp(`^\\uFFFD*\\{"return":\\s*${id}\\}`);
    while (!answer.test(await lines.next()));
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }

  let last: Promise<unknown> = Promise.resolve();
  /** One request at a time: the agent answers in order and replies carry no id. */
  const call = (name: string, parameters: unknown): Promise<unknown> => {
    const result = last.then(async () => {
      socket.write(message(name, parameters));
      return parseReply(await lines.next());
    });
    last = result.catch(() => {});
    return result;
  };

  return {
    async exec(command, execSignal) {
      const deadline = AbortSignal.timeout(command.timeoutMs);
      const either = AbortSignal.any([execSignal, deadline]);
      const run = async (): Promise<Output> => {
        const { pid } = check(ExecReply, await call('guest-exec', execArguments(command)));
        for (let pause = 5; ; pause = Math.min(pause * 1.5, 100)) {
          const status = check(ExecStatus, await call('guest-exec-status', { pid }));
          if (status.exited) return outputOf(status);
          await sleep(pause, undefined, { signal: either });
        }
      };
      try {
        // An agent that has gone silent must not keep us from leaving.
        return await Promise.race([run(), aborted(either)]);
      } catch (error) {
        execSignal.throwIfAborted();
        if (!deadline.aborted) throw error;
        throw new NestedCheckError('timeout', `L0: ${command.argv[0]} took longer than ${command.timeoutMs / 1000} s`);
      }
    },
    close: () => void socket.destroy(),
  };
}

/** Rejects when a signal aborts, and never resolves. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(asError(signal.reason));
    else signal.addEventListener('abort', () => reject(asError(signal.reason)), { once: true });
  });
}

function message(execute: string, parameters: unknown): Buffer {
  return Buffer.from(`${JSON.stringify({ execute, arguments: parameters })}\n`);
}

function parseReply(line: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw new NestedCheckError('agent', 'the guest agent sent a line that is not JSON', { cause });
  }
  const reply = check(Reply, json);
  if ('error' in reply) {
    throw new NestedCheckError('agent', `the guest agent refused: ${reply.error.desc}`);
  }
  return reply.return;
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new NestedCheckError('agent', 'the guest agent sent something unexpected', { cause: parsed.error });
  }
  return parsed.data;
}

/** Hands out a socket's lines one by one; a waiting reader learns of the socket's end. */
function lineReader(socket: Duplex): { next(): Promise<string> } {
  const ready: string[] = [];
  let waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | undefined;
  let ended: Error | undefined;
  let parts: Buffer[] = [];
  let size = 0;

  socket.on('data', (chunk: Buffer) => {
    let rest = chunk;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)]).toString('utf8');
      parts = [];
      size = 0;
      rest = rest.subarray(end + 1);
      if (waiting === undefined && ready.push(line) > MAX_UNASKED) {
        socket.destroy(new NestedCheckError('agent', 'the guest agent sent far more than it was asked'));
        return;
      }
      waiting?.resolve(line);
      waiting = undefined;
    }
    parts.push(rest);
    size += rest.length;
    if (size > MAX_REPLY) socket.destroy(new NestedCheckError('agent', 'the guest agent sent a reply without end'));
  });
  const stop = (error?: Error): void => {
    ended ??=
      error instanceof NestedCheckError
        ? error
        : new NestedCheckError('agent', `the guest agent broke off${error ? `: ${error.message}` : ''}`, {
            cause: error,
          });
    waiting?.reject(ended);
    waiting = undefined;
  };
  socket.on('error', stop);
  socket.on('close', () => stop());

  return {
    next() {
      const line = ready.shift();
      if (line !== undefined) return Promise.resolve(line);
      if (ended !== undefined) return Promise.reject(ended);
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject };
      });
    },
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new NestedCheckError('interrupted', 'interrupted');
}
