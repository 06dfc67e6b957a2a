// What can go wrong, each with the exit status it leads to.

/** Stable codes, printed with each error and kept in reports. */
export type ErrorCode =
  | 'usage' // the command line is wrong
  | 'input' // a scenario or another input file is wrong
  | 'host' // this machine can't do it: something is missing, forbidden or too small
  | 'image' // a guest image could not be built or read
  | 'refused' // libvirt or QEMU would not start a guest
  | 'died' // a guest or its QEMU ended while we needed it
  | 'timeout' // a deadline passed
  | 'hung' // a deadline passed, and what we waited for had stopped working
  | 'agent' // the guest agent answered nonsense or broke off
  | 'command' // a command that should work did not
  | 'interrupted'; // the user, or whoever sent SIGTERM, wants us to stop

const STATUS: Record<ErrorCode, number> = {
  usage: 2,
  input: 2,
  host: 3,
  image: 3,
  refused: 3,
  died: 3,
  timeout: 3,
  hung: 3,
  agent: 3,
  command: 3,
  interrupted: 130,
};

/**
 * The one error of this program: anything else that is thrown is a bug of ours.
 * `message` says level first, then what, then the other side's own words; `hint` says what mends it.
 */
export class NestedCheckError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | null;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'NestedCheckError';
    this.code = code;
    this.hint = options.hint ?? null;
  }

  /** Exit status of the program when this error ends it (0 to 255, see README). */
  get status(): number {
    return STATUS[this.code];
  }
}
