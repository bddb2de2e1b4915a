/** Finds the fields that a schema knows, for error messages. Tested in document.test.ts. */
import { z } from 'zod';

/** The fields that a schema has at a path, looking through defaults, optionals, lists and records. */
export function knownFields(schema: z.ZodType, path: readonly (string | number)[]): readonly string[] {
  let here: z.ZodType | undefined = bare(schema);
  for (const part of path) {
    if (here instanceof z.ZodObject) here = bare((here.shape as Record<string, z.ZodType>)[part]);
    else if (here instanceof z.ZodArray) here = bare(here.element as z.ZodType);
    else return [];
  }
  return here instanceof z.ZodObject ? Object.keys(here.shape as object) : [];
}

function bare(schema: z.ZodType | undefined): z.ZodType | undefined {
  // Of a union of a short and a full form, the full form has the fields.
  if (schema instanceof z.ZodUnion)
    return (schema.options as readonly z.ZodType[]).find((option) => option instanceof z.ZodObject) ?? schema;
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
    ? bare(schema.unwrap() as z.ZodType)
    : schema;
}
