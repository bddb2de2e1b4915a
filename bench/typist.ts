/** A simulated user who types into `ssh -tt` and waits for the echo. */
import * as pty from 'node-pty';

export class Typist {
  readonly #terminal: pty.IPty;
  #wanted = '';
  #resolve: () => void = () => undefined;

  constructor(args: readonly string[]) {
    this.#terminal = pty.spawn('ssh', ['-tt', ...args, 'stty -icanon echo; echo ready; exec cat >/dev/null'], { cols: 80, rows: 24 });
    let seen = '';
    this.#terminal.onData((data) => {
      seen = (seen + data).slice(-64);
      if (this.#wanted !== '' && seen.endsWith(this.#wanted)) {
        this.#wanted = '';
        this.#resolve();
      }
    });
  }

  ready(): Promise<void> {
    return this.#until('ready\r\n');
  }

  /** Types `count` keys, each `pauseMs` after the echo of the previous one, and returns the round trips in µs. */
  async type(count: number, pauseMs = 2): Promise<number[]> {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const key = String.fromCharCode(97 + (i % 26));
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
