import Conformance
import Testing

@Suite struct IsolationCampaignTests {
  @Test(arguments: GuestKind.allCases) func hostileDomainsReachNobody(_ kind: GuestKind) {
    var campaign = IsolationCampaign(seed: 11, count: 1)
    campaign.kind = kind
    let result = campaign.run()
    #expect(result.failed == 0, "\(result.findings.map(\.text).joined(separator: "\n"))")
    #expect(result.commands >= 1000)
    // Not everything is refused, and some of it is what a domain is ended for.
    #expect(result.succeeded > 100)
    #expect(result.domains > 1)
    // Some of it reaches the services.
    #expect(result.storeTurns > 0)
    #expect(result.frames > 0)
  }

  @Test func theSameSeedIsTheSameCase() {
    let campaign = IsolationCampaign(seed: 5, count: 1)
    #expect(campaign.listing(of: 2) == campaign.listing(of: 2))
    #expect(campaign.listing(of: 2) != campaign.listing(of: 3))
  }
}
