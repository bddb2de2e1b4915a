/**
 * One peer program at work: requests go to its standard input, answers come from its standard output, as
 * peers/PROTOCOL.md describes. A program that does not answer in time is ended by its pid, and the next request starts
 * it again.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const ANSWER_MS = 60_000;

export type Words = readonly string[];

export interface PeerCommand {
  readonly file: string;
  readonly args: readonly string[];
}

export class PeerProcess {
  readonly #command: PeerCommand;
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcessWithoutNullStreams | undefined;
  #said = '';
  #take: ((words: Words) => void) | undefined;

  constructor(command: PeerCommand, env: NodeJS.ProcessEnv) {
    this.#command = command;
    this.#env = env;
  }

  /** Resolves with the answers to one request, without the final `done`. `heard` gets each answer as it arrives. */
  async ask(words: Words, heard: (answer: Words) => void = () => undefined): Promise<readonly Words[]> {
    const child = (this.#child ??= this.#start());
    const answers: Words[] = [];
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(
          () => reject(new Error(`no answer to ${words.join(' ')} in ${ANSWER_MS} ms, after ${JSON.stringify(answers)}\n${this.#said}`)),
          ANSWER_MS,
        );
        this.#take = (answer) => {
          if (answer[0] === 'done') resolve();
          else if (answer[0] === 'failed') reject(new PeerFailure(answer[1] ?? ''));
          else {
            answers.push(answer);
            heard(answer);
          }
        };
        child.once('close', (code, signal) =>
          reject(new Error(`the program ended (${code ?? signal}) before it answered ${words.join(' ')}\n${this.#said}`)),
        );
        child.stdin.write(`${words.map(encodeURIComponent).join(' ')}\n`);
      });
    } catch (error) {
      if (!(error instanceof PeerFailure)) await this.#kill();
      throw error;
    } finally {
      clearTimeout(timer);
      child.removeAllListeners('close');
      this.#take = undefined;
    }
    return answers;
  }

  /** Ends the program's input and resolves with its exit status. */
  async end(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return 0;
    const timer = setTimeout(() => child.kill('SIGKILL'), ANSWER_MS);
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    clearTimeout(timer);
    return child.exitCode;
  }

  #start(): ChildProcessWithoutNullStreams {
    const child = spawn(this.#command.file, [...this.#command.args], { env: this.#env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#said = '';
    child.on('error', (error) => {
      this.#said += error.message;
    });
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => {
      if (this.#said.length < 65_536) this.#said += chunk.toString('utf8');
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#take?.(line.split(' ').map(decodeURIComponent)));
    return child;
  }

  async #kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

/** The program answered `failed` and still runs. */
class PeerFailure extends Error {}
