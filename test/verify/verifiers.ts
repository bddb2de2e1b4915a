/** The two verifiers for any number of files: `steno verify` in this process, and docs/verify.py in one Python process. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { StenoError } from '#schemas/base/errors.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { KeyframeCheck } from '#recordings/render/keyframe-check.js';

export interface Answer {
  /** Exit code. */
  readonly code: number;
  readonly text: string;
  readonly keyframes: number;
}

export interface Verifiers {
  ours(file: Uint8Array): Answer;
  theirs(file: Uint8Array): Promise<Answer>;
  close(): Promise<void>;
}

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export async function openVerifiers(caLines: readonly string[]): Promise<Verifiers> {
  const verify = await openVerifier(caLines, (header) => new KeyframeCheck(header));
  const python = spawn('python3', [path('batch.py'), path('../../docs/verify.py'), ...caLines], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((answer: Answer) => void)[] = [];
  const over = new Promise<void>((resolve) =>
    python.once('close', () => {
      for (const answer of waiting.splice(0)) answer({ code: -2, text: 'verify.py ended, or hung', keyframes: 0 });
      resolve();
    }),
  );
  createInterface(python.stdout).on('line', (line) => waiting.shift()?.(JSON.parse(line) as Answer));
  return {
    ours(file) {
      const verdict = verify(file);
      if (verdict.ok) return { code: 0, text: '', keyframes: verdict.keyframes };
      return { code: new StenoError(verdict.code).entry.exit, text: verdict.detail, keyframes: 0 };
    },
    theirs: (file) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        const head = Buffer.alloc(4);
        head.writeUInt32LE(file.length);
        python.stdin.write(head);
        python.stdin.write(file);
      }),
    async close() {
      python.stdin.end();
      await over;
    },
  };
}
