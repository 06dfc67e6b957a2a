// The live view of a run: lines where nobody looks on, one changing line at the end where somebody does.
import type { Environment } from '../environment.ts';
import type { RunEvent } from '../run/events.ts';
import { painter } from './paint.ts';
import { printable } from './printable.ts';
import type { Report } from './report.ts';
import { summary } from './table.ts';

export interface Terminal {
  handle(event: RunEvent, report: Report): void;
  /** A line of progress from outside the run, such as an image being built. */
  line(text: string): void;
  close(): void;
}

const REDRAW_MS = 1000;
const STILL_WAITING_MS = 15_000;

interface Waiting {
  readonly label: string;
  readonly since: number;
  said: number;
  lastLine: string | null;
}

/** A view on stdout. With `debug`, every stage is told with its times. */
export function openTerminal(environment: Environment, debug: boolean): Terminal {
  const { stdout } = environment;
  const live = stdout.isTTY === true && environment.env['CI'] === undefined;
  const paint = painter(environment);
  const waiting = new Map<string, Waiting>();
  let drawn = false;

  const clear = (): void => {
    if (drawn) stdout.write('\r\u001b[K');
    drawn = false;
  };
  const line = (text: string): void => {
    clear();
    stdout.write(`${text}\n`);
  };
  const tick = (): void => {
    const now = performance.now();
    if (live) {
      const words = [...waiting.values()].map((each) => `${each.label} ${seconds(now - each.since)}`).join(' · ');
      const last = [...waiting.values()]
        .map((each) => each.lastLine)
        .filter(Boolean)
        .at(-1);
      clear();
      if (words === '') return;
      stdout.write(paint('dim', `… ${words}${last ? `  “${last}”` : ''}`.slice(0, (stdout.columns ?? 80) - 1)));
      drawn = true;
      return;
    }
    for (const each of waiting.values()) {
      if (now - each.said < STILL_WAITING_MS) continue;
      each.said = now;
      line(
        `  still waiting: ${each.label}, ${seconds(now - each.since)}${each.lastLine ? `, console: ${each.lastLine}` : ''}`,
      );
    }
  };
  const timer = setInterval(tick, REDRAW_MS);
  timer.unref();

  return {
    line,
    close() {
      clearInterval(timer);
      clear();
    },
    handle(event, report) {
      switch (event.kind) {
        case 'run-started':
          line(`${count(event.cases.length, 'case')}: ${event.cases.join(', ')}`);
          break;
        case 'host-ready': {
          const { host } = event;
          const versions = [
            host.kernel && `Linux ${host.kernel}`,
            host.qemu && `QEMU ${host.qemu}`,
            host.libvirt && `libvirt ${host.libvirt}`,
          ];
          line(`host: ${host.kind} (${printable(host.reason)})`);
          line(
            `      ${printable(host.facts?.modelName ?? 'CPU not known')}; ${printable(versions.filter(Boolean).join(', '))}`,
          );
          break;
        }
        case 'case-started':
          line(paint('bold', event.case));
          break;
        case 'stage': {
          const label = `${event.case === null ? 'host' : `${event.case} L${event.level}`} ${event.stage}`;
          const now = performance.now();
          waiting.set(key(event), { label, since: now, said: now, lastLine: null });
          if (debug) line(`  ${clock(event.at)} ${label} begins`);
          break;
        }
        case 'span': {
          const at = key({ case: event.case, level: event.span.level, stage: event.span.stage });
          const label = waiting.get(at)?.label ?? '';
          waiting.delete(at);
          const took = seconds(event.span.endMs - event.span.startMs);
          if (debug) line(`  ${clock(event.at)} ${label} took ${took}`);
          break;
        }
        case 'waiting': {
          const each = waiting.get(key(event));
          if (each !== undefined) each.lastLine = event.lastLine === null ? null : printable(event.lastLine, 100);
          break;
        }
        case 'level-done': {
          const { level } = event;
          const bad = level.probes.filter((probe) => probe.verdict === 'fail' || probe.verdict === 'error');
          const up = level.probes.some((probe) => probe.name === 'boots' && probe.verdict === 'pass');
          const words = up
            ? `up after ${seconds(level.bootMs)}, ${level.facts?.flags == null ? 'flags not known' : (level.facts.virtualization ?? 'no vmx or svm')}`
            : 'did not come up';
          line(
            `  L${level.level} ${words}${bad.length > 0 ? paint('red', ` (${bad.map((probe) => probe.name).join(', ')})`) : ''}`,
          );
          break;
        }
        case 'note':
          line(paint('yellow', `note: ${printable(event.text, 1000)}`));
          break;
        case 'case-done':
          break;
        case 'run-done':
          clear();
          stdout.write(summary(report, paint));
          break;
        default:
          event satisfies never;
      }
    },
  };
}

function key(event: { case: string | null; level: number; stage: string }): string {
  return `${event.case} ${event.level} ${event.stage}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

function clock(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(7)} s`;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
