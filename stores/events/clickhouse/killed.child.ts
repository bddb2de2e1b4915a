/** A writer process that its test kills: inserts batch after batch, and prints the number of each once acknowledged. */
import { openEventStore } from './store.js';
import { exampleScreenRow } from '../examples.js';

const store = await openEventStore({ kind: 'chdb', path: process.argv[2]! });
process.stdout.write('open\n');
for (let block = 0; ; block += 1) {
  const rows = Array.from({ length: 200 }, (_, index) => exampleScreenRow({ block, index, text: `line ${index} of block ${block}` }));
  await store.insert('screen', rows, `block ${block}`);
  process.stdout.write(`${block}\n`);
}
