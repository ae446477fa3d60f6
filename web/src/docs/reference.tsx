import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";
import { Fragment } from "react";
import { Link } from "../lib/router.tsx";
import { bindingsOf, commentOf, commentOfValue, isStream, kindOf, type Type } from "./contract.ts";

/** What a call is for, takes and gives. */
export function MethodReference({ method }: { method: DescMethod }) {
  const bindings = bindingsOf(method);
  return (
    <>
      <Comment paragraphs={commentOf(method)} />
      <dl className="facts">
        <div><dt>gRPC, gRPC-Web</dt><dd><code>{method.parent.typeName}/{method.name}</code></dd></div>
        {bindings.length > 0 && (
          <div>
            <dt>REST, at the gateway</dt>
            {bindings.map(({ verb, path, body }) => (
              <dd key={`${verb} ${path}`}>
                <code>{verb} {path}</code>
                {body && <span className="dim"> {body === "*" ? "the request is the body" : <><code>{body}</code> is the body</>}</span>}
              </dd>
            ))}
          </div>
        )}
      </dl>
      <h2>Request: <TypeLink type={method.input} /></h2>
      <Fields message={method.input} />
      <h2>{isStream(method) ? "Stream of" : "Response:"} <TypeLink type={method.output} /></h2>
      <Fields message={method.output} />
    </>
  );
}

/** What a type is for, and what is in it. */
export function TypeReference({ type }: { type: Type }) {
  return (
    <>
      <Comment paragraphs={commentOf(type)} />
      {type.kind === "message" ? <Fields message={type} /> : (
        <dl className="contract values">
          {type.values.map(({ name }) => (
            <div key={name}>
              <dt><code>{name}</code></dt>
              <dd><Comment paragraphs={commentOfValue(type, name)} /></dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}

function Fields({ message }: { message: DescMessage }) {
  if (message.fields.length === 0) return <p className="dim">No fields.</p>;
  return (
    <dl className="contract">
      {message.fields.map((field) => (
        <div key={field.name}>
          <dt><code>{field.name}</code> <span className="kind"><Kind field={field} /></span></dt>
          <dd>
            {field.oneof && <p className="dim">One of <code>{field.oneof.name}</code>.</p>}
            <Comment paragraphs={commentOf(field)} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Kind({ field }: { field: DescField }) {
  const { words, type } = kindOf(field);
  return <>{words}{type && <TypeLink type={type} />}</>;
}

function TypeLink({ type }: { type: Type }) {
  return <Link to={`/docs/types/${type.name}`}>{type.name}</Link>;
}

/** Text of the contract; what stands in backticks is code. */
export function Comment({ paragraphs }: { paragraphs: string[] }) {
  return paragraphs.map((paragraph, index) => (
    <p key={index}>
      {paragraph.split("`").map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : <Fragment key={at}>{part}</Fragment>))}
    </p>
  ));
}
