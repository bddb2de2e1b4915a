/** The page's side of its worker: each order is answered once. */
import OfflineWorker from './worker.ts?worker&inline';
import type { Answer, Order, Said } from './messages.js';

export class Keeper {
  readonly #worker = new OfflineWorker();
  readonly #waiting = new Map<number, { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }>();
  #next = 1;
  /** Called with bytes processed by the running check; each byte is counted twice. */
  onProgress: (bytes: number) => void = () => undefined;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Said>) => {
      if (data.kind === 'progress') return this.onProgress(data.bytes);
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.kind === 'answer') waiting?.resolve(data.answer);
      else waiting?.reject(new Error(data.reason));
    };
    this.#worker.onerror = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('this browser does not run the check'));
      this.#waiting.clear();
    };
  }

  async ask<Kind extends Answer['kind']>(
    kind: Kind,
    order: Order,
    transfer: Transferable[] = [],
  ): Promise<Extract<Answer, { readonly kind: Kind }>> {
    const id = this.#next++;
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, order }, transfer);
    });
    if (answer.kind !== kind) throw new Error('another answer than was asked for');
    return answer as Extract<Answer, { readonly kind: Kind }>;
  }
}
