import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';

/** Milliseconds between two signals. */
const AGAIN = 200;

/**
 * Ends a process by SIGTERM and waits until it has exited and its streams are closed. The signal is repeated until then:
 * OpenSSH's client up to 9.5 checks for signals before it calls poll(2), and sleeps through one that arrives in between.
 */
export async function terminated(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  const again = setInterval(() => child.kill('SIGTERM'), AGAIN);
  try {
    await closed;
  } finally {
    clearInterval(again);
  }
}
