/**
 * A network namespace with one link to this machine: programs in it can dial out over that link and can be cut off.
 * Needs root and ip(8).
 */
import { execFileSync } from 'node:child_process';

/** The reason why this machine cannot make one, or null. */
export function whyNoNamespace(): string | null {
  if (process.getuid!() !== 0) return 'network namespaces need root';
  try {
    execFileSync('ip', ['netns', 'add', `stp${process.pid}`], { stdio: 'pipe' });
    execFileSync('ip', ['netns', 'del', `stp${process.pid}`], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return `no network namespace can be made: ${String((error as { stderr?: Buffer }).stderr ?? error).trim()}`;
  }
}

export class Namespace {
  readonly name: string;
  /** This machine's end of the link. */
  readonly outside: string;
  readonly inside: string;
  readonly #link: string;

  constructor(n: number) {
    const id = (process.pid * 7 + n) % 16_384;
    this.name = `st${process.pid}n${n}`;
    this.#link = `sv${process.pid % 100_000}n${n}`;
    const net = `10.${100 + (id >> 8)}.${id & 255}`;
    this.outside = `${net}.1`;
    this.inside = `${net}.2`;
    const ip = (...args: readonly string[]): void => void execFileSync('ip', args, { stdio: 'pipe' });
    ip('netns', 'add', this.name);
    ip('link', 'add', this.#link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.name);
    ip('addr', 'add', `${this.outside}/30`, 'dev', this.#link);
    ip('link', 'set', this.#link, 'up');
    ip('-n', this.name, 'addr', 'add', `${this.inside}/30`, 'dev', 'eth0');
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
    ip('-n', this.name, 'link', 'set', 'eth0', 'up');
  }

  /** Command prefix that runs a command inside. */
  get prefix(): readonly string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  /** Like a pulled cable: no packet passes, and neither side gets an error. */
  cut(): void {
    execFileSync('ip', ['-n', this.name, 'addr', 'flush', 'dev', 'eth0']);
  }

  heal(): void {
    execFileSync('ip', ['-n', this.name, 'addr', 'add', `${this.inside}/30`, 'dev', 'eth0']);
  }

  dispose(): void {
    execFileSync('ip', ['netns', 'del', this.name], { stdio: 'pipe' });
  }
}
