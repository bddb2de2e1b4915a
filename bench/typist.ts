/** A simulated user who types into `ssh -tt` and waits for the echo. */
import * as pty from 'node-pty';

const ECHOING = 'stty -icanon echo; echo ready; exec cat >/dev/null';

export class Typist {
  readonly #terminal: pty.IPty;
  #wanted = '';
  /** Since the last wanted text appeared. */
  #seen = '';
  #resolve: () => void = () => undefined;

  /** `command`: prints `ready` and echoes keys; null: the node's shell does. Anything else it prints must be without capital letters. */
  constructor(args: readonly string[], command: string | null = ECHOING) {
    this.#terminal = pty.spawn('ssh', ['-tt', ...args, ...(command === null ? [] : [command])], { cols: 80, rows: 24 });
    this.#terminal.onData((data) => {
      this.#seen = (this.#seen + data).slice(-4096);
      if (this.#wanted === '' || !this.#seen.includes(this.#wanted)) return;
      this.#wanted = '';
      this.#seen = '';
      this.#resolve();
    });
  }

  ready(): Promise<void> {
    return this.#until('ready\r\n');
  }

  /** Types `count` keys, each `pauseMs` after the echo of the previous one, and returns the round trips in µs. */
  async type(count: number, pauseMs = 2): Promise<number[]> {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const key = String.fromCharCode(65 + (i % 26));
      const echoed = this.#until(key);
      const start = performance.now();
      this.#terminal.write(key);
      await echoed;
      times.push((performance.now() - start) * 1000);
      // People pause between keys; without a pause this would measure a pipe, not a keyboard.
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return times;
  }

  close(): void {
    this.#terminal.kill();
  }

  #until(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted = text;
      this.#resolve = resolve;
    });
  }
}
