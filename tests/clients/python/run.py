"""supabase-py, boto3 and the program aws, unmodified, against the real executable: a module for each service.

The last line is `python: N passed, M failed`, which scripts/test counts.
"""
import sys, unittest

MODULES = ['rest', 'accounts', 'factors', 'hooks', 'identities', 'administration', 'backend', 'channels', 'files', 's3']


def main():
    suite = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
    total = suite.countTestCases()
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    # A class that cannot be set up is one error, and none of its tests has run; sub-tests belong to their test.
    wrong = {test.id().split(' ')[0] for test, _ in result.failures + result.errors} - {'setUpClass'}
    failed = len(wrong) + total - result.testsRun
    print(f'python: {total - failed} passed, {failed} failed')
    return 0 if result.wasSuccessful() else 1


if __name__ == '__main__':
    sys.exit(main())
