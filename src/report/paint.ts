// Colour, where it is wanted: NO_COLOR, FORCE_COLOR and whether stdout is a terminal decide.
import { styleText } from 'node:util';
import type { Environment } from '../environment.ts';

export type Paint = (style: Parameters<typeof styleText>[0], text: string) => string;

export function painter({ env, stdout }: Pick<Environment, 'env' | 'stdout'>): Paint {
  const forced = env['FORCE_COLOR'];
  const wanted =
    forced !== undefined ? forced !== '0' : stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return wanted ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}
