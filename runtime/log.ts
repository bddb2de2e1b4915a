/**
 * Logging: one JSON line per event on standard error. A line is a constant message plus fields; fields never hold
 * secrets or recorded output. Fields that carry credentials by name are removed even when passed by mistake.
 */
import pino from 'pino';

export type Log = pino.Logger;

export function openLog(stage: string, level: string = process.env['STENO_LOG'] ?? 'info'): Log {
  return pino(
    {
      base: { stage, pid: process.pid },
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['*.token', '*.password', '*.authorization', '*.cookie', '*.private_key', 'token', 'password', 'authorization', 'cookie'],
        remove: true,
      },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
