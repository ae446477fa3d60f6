import type { DescService } from "@bufbuild/protobuf";
import { useEffect } from "react";
import { bindingsOf, commentOf, SERVICES, serviceOf, typeOf } from "../docs/contract.ts";
import { Comment, MethodReference, TypeReference } from "../docs/reference.tsx";
import { TryIt } from "../docs/try.tsx";
import { Link } from "../lib/router.tsx";
import { Nothing } from "../parts/small.tsx";

/** The contract: every call, to read about and to try. */
export default function DocsPage({ place, name }: { place: string; name: string }) {
  const title = name || place || "API";
  useEffect(() => {
    document.title = `${title} · Pulse`;
  }, [title]);
  return (
    <div className="docs">
      <details className="docs-list" open={matchMedia("(min-width: 900px)").matches}>
        <summary>Calls</summary>
        <nav aria-label="Calls">
          {SERVICES.map((service) => (
            <section key={service.name}>
              <h2><Link to={`/docs/${service.name}`} aria-current={place === service.name && !name ? "page" : undefined}>{service.name}</Link></h2>
              <ul>
                {service.methods.map((method) => (
                  <li key={method.name}>
                    <Link to={`/docs/${service.name}/${method.name}`} aria-current={place === service.name && name === method.name ? "page" : undefined}>
                      {method.name}
                    </Link>
                  </li>
                ))}
              </ul>
            </section>
          ))}
        </nav>
      </details>
      <article className="docs-text" aria-label="API"><Text key={`${place}/${name}`} place={place} name={name} /></article>
    </div>
  );
}

function Text({ place, name }: { place: string; name: string }) {
  if (!place) return <Index />;
  const type = place === "types" ? typeOf(name) : undefined;
  if (type) return <><h1>{type.name}</h1><TypeReference type={type} /></>;
  const service = serviceOf(place);
  const method = service?.methods.find((method) => method.name === name);
  if (method) return <><h1>{method.name}</h1><TryIt method={method} /><MethodReference method={method} /></>;
  if (service && !name) return <><h1>{service.name}</h1><Comment paragraphs={commentOf(service)} /><Calls service={service} /></>;
  return <Nothing><h1>The contract has no {name || place}</h1><Link to="/docs">All calls</Link></Nothing>;
}

function Index() {
  return (
    <>
      <h1>API</h1>
      <p>
        Every call is gRPC and gRPC-Web on this address, and REST with JSON through the gateway. Choose one to read what it
        takes and gives, and to try it here.
      </p>
      <p>
        In JSON, fields have the names of the contract, 64-bit integers are strings, durations read <code>1.5s</code>, times{" "}
        <code>2026-01-31T08:00:00Z</code>, bytes are base64. An error carries one reason of{" "}
        <Link to="/docs/types/ErrorReason">ErrorReason</Link>.
      </p>
      {SERVICES.map((service) => (
        <section key={service.name}>
          <h2><Link to={`/docs/${service.name}`}>{service.name}</Link></h2>
          <Comment paragraphs={commentOf(service).slice(0, 1)} />
          <Calls service={service} />
        </section>
      ))}
    </>
  );
}

function Calls({ service }: { service: DescService }) {
  return (
    <dl className="contract">
      {service.methods.map((method) => (
        <div key={method.name}>
          <dt><Link to={`/docs/${service.name}/${method.name}`}>{method.name}</Link></dt>
          <dd>{bindingsOf(method).map(({ verb, path }) => <p key={`${verb} ${path}`}><code>{verb} {path}</code></p>)}</dd>
        </div>
      ))}
    </dl>
  );
}
