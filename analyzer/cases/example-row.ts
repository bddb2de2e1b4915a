/** Builds a row of `events` from an example by a rule's author, who uses the fields of the rule's log source. Tested in cases.test.ts. */
import type { EventRow } from '#schemas/events/rows.js';
import type { Source } from '../sources/source.js';
import { ExampleError, RowWriter } from './row-writer.js';

export type ExampleValue = string | number | boolean;

export function exampleRow(source: Source, fields: Readonly<Record<string, ExampleValue>>): EventRow {
  return writerOf(source, fields).row();
}

/** Throws an ExampleError for a field or a value that the source does not have. */
export function writerOf(source: Source, fields: Readonly<Record<string, ExampleValue>>): RowWriter {
  const writer = new RowWriter(source);
  for (const [name, value] of Object.entries(fields)) {
    const field = Object.hasOwn(source.fields, name) ? source.fields[name]! : undefined;
    if (field === undefined) throw new ExampleError(`there is no field ${name} of ${source.name}`);
    if (field.kind !== 'cases') {
      writer.write(field, String(value));
      continue;
    }
    const known = field.of.find(({ text }) => text.toLowerCase() === String(value).toLowerCase());
    if (known === undefined) throw new ExampleError(`${name} of ${source.name} is one of ${field.of.map(({ text }) => text).join(', ')}`);
    writer.satisfy(known.when);
  }
  return writer;
}
