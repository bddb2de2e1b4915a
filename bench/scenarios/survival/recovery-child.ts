/** `fill FOLDER COUNT ended|live` or `start FOLDER`: the recorder of the scenario `recovery`, in a process that can be killed. */
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { CHECKPOINT_NAMESPACE } from '#schemas/recording/checkpoint.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { startRecorder } from '../../../gateway/recorder/start.js';
import { facts } from '../../../gateway/testing/recorder.js';

const [kind = '', folder = '', count = '0', state = ''] = process.argv.slice(2);
const LINES = 40;
const opened = facts({ recording: { mode: 'best_effort', streams: 'limited', limit: 1 << 20 } });
const file = join(folder, '..', 'recording.pem');
if (!existsSync(file)) writeFileSync(file, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
const key = createPrivateKey(readFileSync(file));
const began = performance.now();
const recorder = await startRecorder(
  { spool: folder, gateway: 'bench' },
  {
    sign: (text) => sign(null, sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', createHash('sha512').update(text).digest()), key),
    clock: { now: Date.now, monotonic: () => performance.now() },
    random: (bytes) => randomBytes(bytes),
    log: pino({ level: 'silent' }),
    uplink: null,
  },
);
if (kind === 'start') {
  // A session can begin now.
  await recorder.open(opened, { cols: 80, rows: 24 });
  process.send!({ ms: performance.now() - began, rss: process.memoryUsage().rss });
} else {
  for (let at = 0; at < Number(count); at += 100) {
    const sessions = await Promise.all(Array.from({ length: 100 }, () => recorder.open(opened, { cols: 80, rows: 24 })));
    for (const session of sessions)
      for (let line = 0; line < LINES; line++)
        session.output('out', Buffer.from(`line ${line} of what a session prints, with some words\r\n`));
    if (state === 'ended') await Promise.all(sessions.map((session) => session.close()));
  }
  await recorder.settled();
  process.send!({});
}
