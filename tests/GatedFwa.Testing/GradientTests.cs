using System.Reflection;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Testing;

/// <summary>
/// Finds operations without a gradient test. An operation is a public static class with a public method that takes a
/// <see cref="Tape"/> first and returns a <see cref="Tensor"/>; its test is the class of its name + <c>Tests</c> with a test called
/// <see cref="TestName"/>, which holds the double reference to central differences (<see cref="GradientCheck"/>).
/// </summary>
public static class GradientTests
{
    public const string TestName = "The_reference_gradient_is_the_derivative";

    /// <summary>The operations of a namespace.</summary>
    public static Type[] Operations(Assembly assembly, string @namespace) =>
        [.. assembly.GetExportedTypes().Where(type => type.Namespace == @namespace && type is { IsAbstract: true, IsSealed: true } && type.GetMethods().Any(IsOperation))];

    /// <summary>The names of those that have no gradient test in an assembly.</summary>
    public static string[] Missing(Assembly assembly, string @namespace, Assembly tests) =>
        [.. Operations(assembly, @namespace).Where(operation => !IsTested(operation, tests)).Select(operation => operation.Name)];

    private static bool IsOperation(MethodInfo method) =>
        method.IsStatic && method.ReturnType == typeof(Tensor) && method.GetParameters() is [{ ParameterType: var first }, ..] && first == typeof(Tape);

    private static bool IsTested(Type operation, Assembly tests) =>
        tests.GetExportedTypes().Any(type => type.Name == operation.Name + "Tests" && type.GetMethod(TestName) is { } method && IsTest(method));

    // By name, so that this library need not reference the test framework.
    private static bool IsTest(MethodInfo method) =>
        method.GetCustomAttributes().Any(attribute => attribute.GetType().Name is "FactAttribute" or "TheoryAttribute");
}
