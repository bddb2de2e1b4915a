/** Example content of a recording and its event log. */
import type { KernelEventInfo } from '../kernel/event-info.js';
import { KERNEL_BLOCKS } from '../kernel/kernel.js';
import type { KernelRow } from '../kernel/kernel.js';
import type { RecordingHeader } from '../recording/line.js';

export const exampleHeader: RecordingHeader = {
  version: 3,
  term: { cols: 80, rows: 24, type: 'xterm-256color' },
  timestamp: 1_763_800_000,
  command: 'top',
  steno: {
    format: 1,
    session: '01kanar9g0dtjvf0yq516zc20n',
    kind: 'shell',
    gateway: 'gw-1',
    counter: 7,
    user: 'alice',
    roles: ['admin'],
    node: 'web-1',
    login: 'root',
    source_address: '127.0.0.1',
    client_version: 'OpenSSH_10.0',
    certificate_serial: '18446744073709551615',
    certificate_key_id: 'user=alice',
    requests: [],
    tty: true,
    started_at: 1_763_800_000_123,
    recording: { mode: 'strict', streams: 'limited', limit: 1 << 20 },
  },
};

export function exampleKernelEvent(event: Partial<KernelEventInfo> = {}): KernelEventInfo {
  return {
    place: '2147483649.0',
    at: 0,
    offset: 0,
    kind: 'exec',
    path: '',
    size: null,
    sha256: '',
    address: '',
    port: null,
    name: '',
    reason: '',
    outcome: 'success',
    count: null,
    data: {},
    ...event,
  };
}

/** A row as a node sends it: the columns by the names that `kernelRow` gives them. */
export function exampleKernelRow(
  session: string,
  index: number,
  { offset = 5, kind = 'exec', path = '', size = null, name = 'true', outcome = '', data = '{"pid":1}' }: ExampleColumns = {},
): KernelRow {
  return [session, KERNEL_BLOCKS + 1, index, offset, kind, path, size, '', '', null, name, '', outcome, null, data];
}

interface ExampleColumns {
  readonly offset?: number;
  readonly kind?: KernelRow[4];
  readonly path?: string;
  readonly size?: number | null;
  readonly name?: string;
  readonly outcome?: string;
  readonly data?: string;
}
