using System.Reflection;
using System.Runtime.Intrinsics;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Tensors.Tests.Cpu;

/// <summary>Every member of <see cref="ISimd{V}"/> in every width this processor has, against scalar code.</summary>
public sealed class SimdTests
{
    public static TheoryData<int, string> Members =>
        [.. from width in new[] { 4, 8, 16 } from member in MemberNames select (width, member)];

    private static IEnumerable<string> MemberNames => typeof(ISimd<>)
        .GetMembers(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
        .Where(member => member is PropertyInfo or MethodInfo { IsSpecialName: false })
        .Select(member => member.Name)
        .Distinct();

    [Theory]
    [MemberData(nameof(Members))]
    public void A_member_agrees_with_scalar_code(int width, string member)
    {
        Assert.SkipUnless(width <= Simd.Width, $"This process has vectors of {Simd.Width} floats.");
        Dictionary<string, Action> checks = width switch
        {
            16 => SimdChecks<Vector512<float>, Simd512>.ByMember,
            8 => SimdChecks<Vector256<float>, Simd256>.ByMember,
            _ => SimdChecks<Vector128<float>, Simd128>.ByMember,
        };
        Assert.True(checks.TryGetValue(member, out Action? check), $"SimdChecks has no check for {member}; add one.");
        check();
    }

    [Fact]
    public void Uses_the_widest_vectors_the_processor_offers()
    {
        int widest = Vector512.IsHardwareAccelerated ? 16 : Vector256.IsHardwareAccelerated ? 8 : 4;
        Assert.InRange(Simd.Width, 4, widest);
        Assert.NotEmpty(Simd.Description);
    }
}
