// A host is anything that runs commands and has a libvirt: the host under test (level 0) and every guest below it.

/** One program run on a host. `argv` goes as it is, through no shell. */
export interface Command {
  readonly argv: readonly [string, ...string[]];
  /** Standard input; none when absent. */
  readonly stdin?: string;
  /** Deadline, in milliseconds of this machine's clock. */
  readonly timeoutMs: number;
}

export interface Output {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a host starts its guests from, as paths of that host. */
export interface BootFiles {
  readonly kernel: string;
  readonly initramfs: string;
  readonly root: string;
  readonly rootType: 'file' | 'block';
}

export interface Host {
  /** 0 for the host under test, 1 for its guest, and so on. */
  readonly level: number;
  readonly libvirtUri: string;
  readonly bootFiles: BootFiles;
  /** A folder of this host where its guests' consoles are written. */
  readonly consoleFolder: string;
  /**
   * Runs a command and waits for its end, whatever its exit code.
   * Throws NestedCheckError: `timeout`, `agent` (no way in), `died` (the host is gone), `interrupted`.
   */
  exec(command: Command, signal: AbortSignal): Promise<Output>;
}

/** The host under test. Disposing of it stops everything that we started for it. */
export interface HostUnderTest extends Host, AsyncDisposable {
  readonly kind: 'local' | 'emulated';
  readonly reason: string;
  /** Whether its guests end when it is disposed of, so that nobody need destroy them one by one. */
  readonly takesGuestsAlong: boolean;
}
