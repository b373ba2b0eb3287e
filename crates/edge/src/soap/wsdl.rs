//! The description of a service (`?wsdl`, `?singleWsdl`, `?xsd=xsd0`), written from its contract in the form that .NET
//! services give, because that is what the tools of all platforms are tried with.

use super::contract::{Builtin, Contract, Field, Kind, NamespaceId, Ref, SERIALIZATION, Type, XSD};
use super::lexical::write_text;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Where a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Path of SOAP 1.2 with WS-Addressing.
    pub v12: Option<String>,
    /// Path of SOAP 1.1.
    pub v11: Option<String>,
    /// Attachments as MTOM.
    pub mtom: bool,
}

/// Writes descriptions of one service as seen from one address.
pub struct Describe<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Paths.
    pub ports: &'a Ports,
    /// `https://host:port`, without a slash at the end.
    pub base: &'a str,
}

impl Describe<'_> {
    /// Everything in one document.
    #[must_use]
    pub fn single(&self) -> String {
        self.definitions(|describe, out| {
            for at in 0..=describe.contract.namespaces.len() {
                describe.schema(out, at, None);
            }
        })
    }

    /// With the schemas elsewhere (`path` is the address asked).
    #[must_use]
    pub fn wsdl(&self, path: &str) -> String {
        self.definitions(|describe, out| {
            let _ = write!(
                out,
                r#"<xsd:schema targetNamespace="{}/Imports">"#,
                describe.contract.target()
            );
            for (at, uri) in describe.schemas() {
                let _ = write!(
                    out,
                    r#"<xsd:import schemaLocation="{}{path}?xsd=xsd{at}" namespace="{uri}"/>"#,
                    describe.base
                );
            }
            out.push_str("</xsd:schema>");
        })
    }

    /// One schema (`name` is `xsd0` and so on).
    #[must_use]
    pub fn xsd(&self, path: &str, name: &str) -> Option<String> {
        let at: usize = name.strip_prefix("xsd")?.parse().ok()?;
        self.schemas().find(|(known, _)| *known == at)?;
        let mut out = String::from(r#"<?xml version="1.0" encoding="utf-8"?>"#);
        self.schema(&mut out, at, Some(path));
        Some(out)
    }

    /// Number and namespace of every schema; the one of .NET's own types comes last.
    fn schemas(&self) -> impl Iterator<Item = (usize, &str)> {
        let own = self
            .contract
            .namespaces
            .iter()
            .map(|(_, uri)| uri.as_str())
            .enumerate()
            .filter(|(_, uri)| *uri != SERIALIZATION);
        own.chain(std::iter::once((
            self.contract.namespaces.len(),
            SERIALIZATION,
        )))
    }

    fn number(&self, uri: &str) -> usize {
        self.schemas()
            .find(|(_, known)| *known == uri)
            .map_or(0, |(at, _)| at)
    }

    fn definitions(&self, types: impl FnOnce(&Self, &mut String)) -> String {
        let contract = self.contract;
        let mut out = String::with_capacity(64 * 1024);
        out.push_str(r#"<?xml version="1.0" encoding="utf-8"?><wsdl:definitions name=""#);
        let _ = write!(
            out,
            r#"{}" targetNamespace="{}""#,
            contract.service,
            contract.target()
        );
        for (prefix, uri) in [
            ("wsdl", "http://schemas.xmlsoap.org/wsdl/"),
            ("soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
            ("soap12", "http://schemas.xmlsoap.org/wsdl/soap12/"),
            ("xsd", XSD),
            ("wsam", "http://www.w3.org/2007/05/addressing/metadata"),
            ("wsa10", "http://www.w3.org/2005/08/addressing"),
            ("wsp", "http://www.w3.org/ns/ws-policy"),
            (
                "wsu",
                "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
            ),
            ("tns", contract.target()),
        ] {
            let _ = write!(out, r#" xmlns:{prefix}="{uri}""#);
        }
        for (prefix, uri) in contract.namespaces.iter().skip(1) {
            let _ = write!(out, r#" xmlns:{prefix}="{uri}""#);
        }
        out.push('>');
        for (binding, _, is_12) in self.bindings() {
            self.policy(&mut out, binding, is_12);
        }
        out.push_str("<wsdl:types>");
        types(self, &mut out);
        out.push_str("</wsdl:types>");
        self.messages(&mut out);
        self.port_type(&mut out);
        for (binding, _, is_12) in self.bindings() {
            self.binding(&mut out, binding, is_12);
        }
        let _ = write!(out, r#"<wsdl:service name="{}">"#, contract.service);
        for (binding, path, is_12) in self.bindings() {
            let name = format!("{binding}_{}", contract.interface);
            let soap = if is_12 { "soap12" } else { "soap" };
            let _ = write!(
                out,
                r#"<wsdl:port name="{name}" binding="tns:{name}"><{soap}:address location="{base}{path}"/>"#,
                base = self.base
            );
            if is_12 {
                let _ = write!(
                    out,
                    "<wsa10:EndpointReference><wsa10:Address>{}{path}</wsa10:Address></wsa10:EndpointReference>",
                    self.base
                );
            }
            out.push_str("</wsdl:port>");
        }
        out.push_str("</wsdl:service></wsdl:definitions>");
        out
    }

    /// Name, path, and whether it is SOAP 1.2.
    fn bindings(&self) -> impl Iterator<Item = (&'static str, &str, bool)> {
        let v11 = self.ports.v11.as_deref();
        let v12 = self.ports.v12.as_deref();
        v11.map(|path| ("BasicHttpBinding", path, false))
            .into_iter()
            .chain(v12.map(|path| ("WSHttpBinding", path, true)))
    }

    /// Two alternatives: what the national services demand, and the same without what only some tools know the words of
    /// (Basic authentication, transport security). A tool takes the first that it can satisfy; CXF refuses to call
    /// when there is none. Over plain HTTP (a sandbox) TLS is not demanded: tools would refuse to call.
    fn policy(&self, out: &mut String, binding: &str, is_12: bool) {
        let _ = write!(
            out,
            r#"<wsp:Policy wsu:Id="{binding}_{}_policy"><wsp:ExactlyOne>"#,
            self.contract.interface
        );
        for is_whole in [true, false] {
            out.push_str("<wsp:All>");
            if self.ports.mtom && !is_12 {
                out.push_str(r#"<wsoma:OptimizedMimeSerialization xmlns:wsoma="http://schemas.xmlsoap.org/ws/2004/09/policy/optimizedmimeserialization"/>"#);
            }
            if is_whole {
                out.push_str(r#"<http:BasicAuthentication xmlns:http="http://schemas.microsoft.com/ws/06/2004/policy/http"/>"#);
                self.transport_policy(out);
            }
            if is_12 {
                out.push_str("<wsam:Addressing><wsp:Policy><wsam:AnonymousResponses/></wsp:Policy></wsam:Addressing>");
            }
            out.push_str("</wsp:All>");
        }
        out.push_str("</wsp:ExactlyOne></wsp:Policy>");
    }

    fn transport_policy(&self, out: &mut String) {
        if self.base.starts_with("https:") {
            out.push_str(concat!(
                r#"<sp:TransportBinding xmlns:sp="http://schemas.xmlsoap.org/ws/2005/07/securitypolicy"><wsp:Policy>"#,
                r#"<sp:TransportToken><wsp:Policy><sp:HttpsToken RequireClientCertificate="false"/></wsp:Policy></sp:TransportToken>"#,
                r#"<sp:AlgorithmSuite><wsp:Policy><sp:Basic256/></wsp:Policy></sp:AlgorithmSuite>"#,
                r#"<sp:Layout><wsp:Policy><sp:Strict/></wsp:Policy></sp:Layout></wsp:Policy></sp:TransportBinding>"#,
            ));
        }
    }

    fn messages(&self, out: &mut String) {
        let contract = self.contract;
        let interface = &contract.interface;
        for operation in &contract.operations {
            let name = &operation.name;
            for (direction, element) in [
                ("Input", name.clone()),
                ("Output", format!("{name}Response")),
            ] {
                let _ = write!(
                    out,
                    r#"<wsdl:message name="{interface}_{name}_{direction}Message"><wsdl:part name="parameters" element="tns:{element}"/></wsdl:message>"#
                );
            }
            for fault in &operation.faults {
                let Some(of) = contract.get(*fault) else {
                    continue;
                };
                let _ = write!(
                    out,
                    r#"<wsdl:message name="{interface}_{name}_{fault}Fault_FaultMessage"><wsdl:part name="detail" element="{prefix}:{fault}"/></wsdl:message>"#,
                    fault = of.name,
                    prefix = self.prefix(of.namespace),
                );
            }
        }
    }

    fn port_type(&self, out: &mut String) {
        let contract = self.contract;
        let interface = &contract.interface;
        let _ = write!(out, r#"<wsdl:portType name="{interface}">"#);
        for operation in &contract.operations {
            let (name, action) = (&operation.name, &operation.action);
            let _ = write!(
                out,
                concat!(
                    r#"<wsdl:operation name="{name}">"#,
                    r#"<wsdl:input wsam:Action="{action}" message="tns:{interface}_{name}_InputMessage"/>"#,
                    r#"<wsdl:output wsam:Action="{action}Response" message="tns:{interface}_{name}_OutputMessage"/>"#,
                ),
                name = name,
                action = action,
                interface = interface
            );
            for fault in operation.faults.iter().filter_map(|id| contract.get(*id)) {
                let fault = &fault.name;
                let _ = write!(
                    out,
                    r#"<wsdl:fault wsam:Action="{action}{fault}Fault" name="{fault}Fault" message="tns:{interface}_{name}_{fault}Fault_FaultMessage"/>"#
                );
            }
            out.push_str("</wsdl:operation>");
        }
        out.push_str("</wsdl:portType>");
    }

    fn binding(&self, out: &mut String, binding: &str, is_12: bool) {
        let contract = self.contract;
        let soap = if is_12 { "soap12" } else { "soap" };
        let name = format!("{binding}_{}", contract.interface);
        let _ = write!(
            out,
            concat!(
                r#"<wsdl:binding name="{name}" type="tns:{interface}">"#,
                r##"<wsp:PolicyReference URI="#{name}_policy"/>"##,
                r#"<{soap}:binding transport="http://schemas.xmlsoap.org/soap/http"/>"#,
            ),
            name = name,
            interface = contract.interface,
            soap = soap
        );
        for operation in &contract.operations {
            let _ = write!(
                out,
                concat!(
                    r#"<wsdl:operation name="{name}"><{soap}:operation soapAction="{action}" style="document"/>"#,
                    r#"<wsdl:input><{soap}:body use="literal"/></wsdl:input>"#,
                    r#"<wsdl:output><{soap}:body use="literal"/></wsdl:output>"#,
                ),
                name = operation.name,
                soap = soap,
                action = operation.action
            );
            for fault in operation.faults.iter().filter_map(|id| contract.get(*id)) {
                let _ = write!(
                    out,
                    r#"<wsdl:fault name="{fault}Fault"><{soap}:fault use="literal" name="{fault}Fault" namespace=""/></wsdl:fault>"#,
                    fault = fault.name
                );
            }
            out.push_str("</wsdl:operation>");
        }
        out.push_str("</wsdl:binding>");
    }

    fn prefix(&self, namespace: NamespaceId) -> &str {
        match namespace.0 {
            0 => "tns",
            at => self.contract.namespaces.get(at).map_or("tns", |(p, _)| p),
        }
    }

    fn schema(&self, out: &mut String, at: usize, path: Option<&str>) {
        let contract = self.contract;
        let here = NamespaceId(at);
        if at == contract.namespaces.len() {
            serialization(out);
            return;
        }
        let uri = contract.uri(here);
        if uri == SERIALIZATION {
            return;
        }
        let _ = write!(
            out,
            r#"<xs:schema xmlns:xs="{XSD}" elementFormDefault="qualified" targetNamespace="{uri}""#
        );
        for (other, (prefix, uri)) in contract.namespaces.iter().enumerate() {
            let prefix = if other == 0 { "tns" } else { prefix };
            let _ = write!(out, r#" xmlns:{prefix}="{uri}""#);
        }
        out.push_str(&format!(r#" xmlns:net="{SERIALIZATION}">"#));
        for other in self.imports(here) {
            let _ = write!(out, r#"<xs:import namespace="{other}""#);
            if let Some(path) = path {
                let _ = write!(
                    out,
                    r#" schemaLocation="{}{path}?xsd=xsd{}""#,
                    self.base,
                    self.number(other)
                );
            }
            out.push_str("/>");
        }
        if at == 0 {
            for operation in &contract.operations {
                self.element(out, &operation.name, &operation.parameters);
                let result: Vec<Field> = operation.result.iter().cloned().collect();
                self.element(out, &format!("{}Response", operation.name), &result);
            }
        }
        for of in contract.types.iter().filter(|t| t.namespace == here) {
            self.one_type(out, of);
        }
        out.push_str("</xs:schema>");
    }

    /// Namespaces that the schema speaks of.
    fn imports(&self, here: NamespaceId) -> BTreeSet<&str> {
        let contract = self.contract;
        let mut found = BTreeSet::new();
        let mut of = |to: Ref| match to {
            Ref::Type(id) => {
                if let Some(t) = contract.get(id).filter(|t| t.namespace != here) {
                    found.insert(contract.uri(t.namespace));
                }
            }
            Ref::Builtin(b) if b.is_serialization() => {
                found.insert(SERIALIZATION);
            }
            Ref::Builtin(_) => {}
        };
        if here.0 == 0 {
            for operation in &contract.operations {
                let fields = operation.parameters.iter().chain(&operation.result);
                fields.for_each(|field| of(field.of));
            }
        }
        for t in contract.types.iter().filter(|t| t.namespace == here) {
            match &t.kind {
                Kind::Object { base, fields, .. } => {
                    base.iter().for_each(|id| of(Ref::Type(*id)));
                    fields.iter().for_each(|field| of(field.of));
                }
                Kind::List(item) => of(item.of),
                _ => {}
            }
        }
        found
    }

    fn element(&self, out: &mut String, name: &str, fields: &[Field]) {
        let _ = write!(
            out,
            r#"<xs:element name="{name}"><xs:complexType><xs:sequence>"#
        );
        for field in fields {
            self.field(out, field, false);
        }
        out.push_str("</xs:sequence></xs:complexType></xs:element>");
    }

    fn field(&self, out: &mut String, field: &Field, many: bool) {
        out.push_str("<xs:element");
        if !field.required {
            out.push_str(r#" minOccurs="0""#);
        }
        if many {
            out.push_str(r#" maxOccurs="unbounded""#);
        }
        let _ = write!(out, r#" name="{}""#, field.name);
        if field.nillable {
            out.push_str(r#" nillable="true""#);
        }
        let _ = write!(out, r#" type="{}"/>"#, self.reference(field.of));
    }

    fn reference(&self, of: Ref) -> String {
        match of {
            Ref::Builtin(b) if b.is_serialization() => format!("net:{}", b.name()),
            Ref::Builtin(b) => format!("xs:{}", b.name()),
            Ref::Type(id) => self.contract.get(id).map_or_else(String::new, |t| {
                format!("{}:{}", self.prefix(t.namespace), t.name)
            }),
        }
    }

    fn one_type(&self, out: &mut String, of: &Type) {
        let name = &of.name;
        match &of.kind {
            Kind::Object {
                base,
                fields,
                by_value,
            } => {
                let _ = write!(out, r#"<xs:complexType name="{name}">"#);
                if *by_value {
                    let _ = write!(
                        out,
                        r#"<xs:annotation><xs:appinfo><IsValueType xmlns="{SERIALIZATION}">true</IsValueType></xs:appinfo></xs:annotation>"#
                    );
                }
                if let Some(base) = base {
                    let _ = write!(
                        out,
                        r#"<xs:complexContent mixed="false"><xs:extension base="{}">"#,
                        self.reference(Ref::Type(*base))
                    );
                }
                out.push_str("<xs:sequence>");
                for field in fields {
                    self.field(out, field, false);
                }
                out.push_str("</xs:sequence>");
                if base.is_some() {
                    out.push_str("</xs:extension></xs:complexContent>");
                }
                out.push_str("</xs:complexType>");
            }
            Kind::List(item) => {
                let _ = write!(out, r#"<xs:complexType name="{name}"><xs:sequence>"#);
                self.field(out, item, true);
                out.push_str("</xs:sequence></xs:complexType>");
            }
            Kind::Enum(values) => {
                let _ = write!(out, r#"<xs:simpleType name="{name}">"#);
                enumeration(out, values);
                out.push_str("</xs:simpleType>");
            }
            Kind::Flags(values) => {
                let _ = write!(
                    out,
                    r#"<xs:simpleType name="{name}"><xs:list><xs:simpleType>"#
                );
                enumeration(out, values);
                out.push_str("</xs:simpleType></xs:list></xs:simpleType>");
            }
            Kind::Simple(base) => {
                // .NET gives these no element of their own.
                let _ = write!(
                    out,
                    r#"<xs:simpleType name="{name}"><xs:restriction base="xs:{}"/></xs:simpleType>"#,
                    base.name()
                );
                return;
            }
        }
        let prefix = self.prefix(of.namespace);
        let _ = write!(
            out,
            r#"<xs:element name="{name}" nillable="true" type="{prefix}:{name}"/>"#
        );
    }
}

fn enumeration(out: &mut String, values: &[(String, Option<String>)]) {
    out.push_str(r#"<xs:restriction base="xs:string">"#);
    for (value, number) in values {
        out.push_str(r#"<xs:enumeration value=""#);
        write_text(out, value);
        out.push('"');
        match number {
            None => out.push_str("/>"),
            Some(number) => {
                let _ = write!(
                    out,
                    r#"><xs:annotation><xs:appinfo><EnumerationValue xmlns="{SERIALIZATION}">{number}</EnumerationValue></xs:appinfo></xs:annotation></xs:enumeration>"#
                );
            }
        }
    }
    out.push_str("</xs:restriction>");
}

/// The schema that every .NET service has: one element for each simple type, and three types of its own.
fn serialization(out: &mut String) {
    let _ = write!(
        out,
        r#"<xs:schema xmlns:xs="{XSD}" xmlns:tns="{SERIALIZATION}" attributeFormDefault="qualified" elementFormDefault="qualified" targetNamespace="{SERIALIZATION}">"#
    );
    let simple = [
        Builtin::AnyType,
        Builtin::AnyUri,
        Builtin::Base64Binary,
        Builtin::Boolean,
        Builtin::Byte,
        Builtin::DateTime,
        Builtin::Decimal,
        Builtin::Double,
        Builtin::Float,
        Builtin::Int,
        Builtin::Long,
        Builtin::Short,
        Builtin::String,
        Builtin::UnsignedByte,
        Builtin::UnsignedInt,
        Builtin::UnsignedLong,
        Builtin::UnsignedShort,
    ];
    let names = simple.iter().map(|b| ("xs", b.name()));
    let own = ["char", "duration", "guid"].map(|name| ("tns", name));
    for (prefix, name) in names.chain([("xs", "QName")]).chain(own) {
        let _ = write!(
            out,
            r#"<xs:element name="{name}" nillable="true" type="{prefix}:{name}"/>"#
        );
    }
    out.push_str(concat!(
        r#"<xs:simpleType name="char"><xs:restriction base="xs:int"/></xs:simpleType>"#,
        r#"<xs:simpleType name="duration"><xs:restriction base="xs:duration">"#,
        r#"<xs:pattern value="\-?P(\d*D)?(T(\d*H)?(\d*M)?(\d*(\.\d*)?S)?)?"/>"#,
        r#"<xs:minInclusive value="-P10675199DT2H48M5.4775808S"/>"#,
        r#"<xs:maxInclusive value="P10675199DT2H48M5.4775807S"/></xs:restriction></xs:simpleType>"#,
        r#"<xs:simpleType name="guid"><xs:restriction base="xs:string">"#,
        r#"<xs:pattern value="[\da-fA-F]{8}-[\da-fA-F]{4}-[\da-fA-F]{4}-[\da-fA-F]{4}-[\da-fA-F]{12}"/>"#,
        r#"</xs:restriction></xs:simpleType>"#,
        r#"<xs:attribute name="FactoryType" type="xs:QName"/><xs:attribute name="Id" type="xs:ID"/>"#,
        r#"<xs:attribute name="Ref" type="xs:IDREF"/></xs:schema>"#,
    ));
}
