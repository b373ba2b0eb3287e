import java.util.Map;
import no.nhn.schemas.reg.collaborationprotocolprofile.ICPPAService;
import no.nhn.schemas.reg.collaborationprotocolprofile.ICPPAServiceGetCpaForCommunicationPartiesXmlGenericFaultFaultFaultMessage;
import no.nhn.schemas.reg.collaborationprotocolprofile.ICPPAServiceGetCppXmlForCommunicationPartyGenericFaultFaultFaultMessage;

/** Profiles and agreements. */
public class CppaCases extends ProxyCase {
  public static void run(Map<String, Object> facts, String base, boolean addressing) throws Exception {
    ICPPAService cppa = proxy(ICPPAService.class, facts, base + "/v1/CPPA", addressing);
    int profiles = 0, agreements = 0, none = 0;
    // The parties below organisations have profiles; organisations have none.
    var parties = rows(facts, "personnel").stream().filter(p -> p.get("her_id") != null)
        .map(p -> ((Number) p.get("her_id")).intValue()).toList();
    for (int one : parties) {
      try {
        holds(cppa.getCppXmlForCommunicationParty(one).contains("CollaborationProtocolProfile"), "a profile");
        profiles++;
      } catch (ICPPAServiceGetCppXmlForCommunicationPartyGenericFaultFaultFaultMessage fault) {
        same("CppNotFound", fault.getFaultInfo().getErrorCode().getValue());
        continue;
      }
      same(one, cppa.getCppForCommunicationParty(one).getPartyInfo().getValue().getHerId());
      int other = parties.get(parties.indexOf(one) == 0 ? 1 : 0);
      try {
        var agreement = cppa.getCpaForCommunicationPartiesXml(one, other);
        holds(agreement.getCollaborationProtocolAgreementXml().getValue().contains("CollaborationProtocolAgreement"), "an agreement");
        agreements++;
      } catch (ICPPAServiceGetCpaForCommunicationPartiesXmlGenericFaultFaultFaultMessage fault) {
        same("CpaNotFound", fault.getFaultInfo().getErrorCode().getValue());
        none++;
      }
    }
    holds(profiles > 1 && agreements + none == profiles, profiles + " profiles, " + agreements + " agreements");
  }
}
