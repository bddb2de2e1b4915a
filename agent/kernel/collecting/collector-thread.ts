/** The thread that runs collector.ts. */
import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Collector } from './collector.js';
import { bootClock } from '../probes/libbpf.js';
import type { CollectorConfig, FromCollector, ToCollector } from './messages.js';

const { config, port } = workerData as { readonly config: CollectorConfig; readonly port: MessagePort };
const post = (message: FromCollector): void =>
  port.postMessage(message, message.kind === 'batch' ? [message.payload.buffer as ArrayBuffer] : []);
const collector = new Collector(config, {
  post,
  receive: () => (receiveMessageOnPort(port) as { readonly message: ToCollector } | undefined)?.message,
  now: Date.now,
  boot: bootClock(),
});
collector.start();
